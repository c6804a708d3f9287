"""The short form of the kills: always the same tries, mostly on the fakes."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

import fakes
from campaign.kills import CarryOut, carried_out, processes
from campaign.kills.calm import Cache, Calm, Shared
from campaign.kills.processes import Ended, forked
from campaign.kills.recipes import RECIPES, Recipe
from campaign.kills.same import different
from campaign.kills.tries import SIGNALS, Plan, drawn, unclear
from campaign.kills.watch import Kill, Watch
from harness.store.files import whole

PAIR = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
[metrics.active]
pair = "p"
[evaluators.quiz]
bit_by_bit = true
[claims.no]
text = "It says no"
holds = "polite.refused[direction=none] >= 0"
[batch]
activations = 1
generation = 2
shard = 8
"""


@dataclass(frozen=True)
class OnFakes(Recipe):
    """Passes of several shards, completions, verdicts, a benchmark and a claim, on the fakes."""

    name: str = "tiny"
    changes: str = PAIR

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        experiment = fakes.EXPERIMENT.replace('["polite"]', '["polite", "quiz"]')
        rows = "".join(json.dumps({"text": line}) + "\n" for line in fakes.WEB)
        (folder / "web.jsonl").write_text(rows, "utf-8")
        file = folder / "tiny.toml"
        file.write_text(fakes.TINY + experiment + self.changes, "utf-8")
        return file


@pytest.fixture(scope="module")
def carry_out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CarryOut]:
    """With the fakes as a plugin; all tests share its undisturbed runs."""
    folder = tmp_path_factory.mktemp("kills")
    info = folder / "dists" / "acme_fake-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-fake\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\nfake = fakes\n")
    with pytest.MonkeyPatch.context() as patch, carried_out(folder / "place") as carry_out:
        patch.syspath_prepend(folder / "dists")
        yield carry_out


KILLS: list[tuple[int, str, int, Cache]] = [
    # Found: answers whose receipt was not yet there were used, and their edits counted for nothing.
    (signal.SIGKILL, r"open .*/receipts\.jsonl$", 2, "none"),
    (signal.SIGTERM, "fsync .*/work/passes/", 3, "own"),
    (signal.SIGINT, "open .*/work/e.jsonl", 1, "none"),
    (signal.SIGKILL, "os.rename .*/results.json", 1, "none"),
    (signal.SIGINT, "open .*/.report.html", 1, "none"),
]
"""A signal, the step on disk at which it comes (of those that look so, the n-th), and the cache."""


@pytest.mark.slow
def test_runs_that_are_killed_come_to_the_same(carry_out: CarryOut) -> None:
    task = OnFakes()
    for number, looks, nth, cache in KILLS:
        steps = carry_out.shared.calm(task, cache).steps
        at = [step for step, text in enumerate(steps, 1) if re.match(looks, text)][nth - 1]
        again = Kill(signal.SIGINT, at // 2) if cache == "own" else None
        kills = (Kill(number, at), *filter(None, [again]))
        tried = carry_out(Plan(task, kills, cache))
        assert not tried.fault, tried
        assert tried.end == "same records", tried
        assert "not reached" not in tried.what, tried


@pytest.mark.slow
def test_a_work_folder_that_is_damaged_comes_to_the_same_or_refuses(carry_out: CarryOut) -> None:
    # Found: a byte of the answers of a model without edits was changed, and believed.
    chance = random.Random("short 22")
    tried = carry_out(drawn([OnFakes()], carry_out.shared, chance, reals=0))
    assert not tried.fault, tried
    assert tried.group == "damaged tiny"


@pytest.mark.slow
def test_a_folder_of_another_run_is_refused_by_name(carry_out: CarryOut, tmp_path: Path) -> None:
    shared, run = carry_out.shared, tmp_path / "run"
    shutil.copytree(shared.calm(OnFakes()).folder, run)
    (run / ".task").write_text("0" * 64 + "\n")
    ended = forked(shared.arguments(OnFakes(), run), run.parent, None, shared.environment(None))
    assert ended.code == 2
    assert unclear(ended, run) == ""
    assert "names no file" in unclear(ended, run / "elsewhere")
    assert "of 2 lines" in unclear(replace(ended, err=ended.err * 2), run)
    silent = replace(ended, err=f"harness: {run}: is wrong.\n")
    assert "what to do" in unclear(silent, run)


@pytest.mark.slow
def test_the_small_tasks_are_fine(tmp_path: Path) -> None:
    """Where a shipped task has something new, its small form may have to leave it out."""
    files = [str(recipe.write(tmp_path)) for recipe in RECIPES]
    assert processes.main(["check", *files]) == 0


@pytest.mark.slow
def test_the_same_chance_is_the_same_plan() -> None:
    class Known:
        def calm(self, recipe: Recipe, cache: str = "none") -> Calm:
            steps = [f"open {n}" for n in range(300)] + ["os.rename results.json"] * 50
            return Calm(Path("run"), tuple(steps), 3.0)

        as_command = calm

    shared = cast(Shared, Known())
    plans = [[drawn(RECIPES, shared, random.Random(f"{n}")) for n in range(1000)] for _ in range(2)]
    assert plans[0] == plans[1]
    groups = Counter(plan.group for plan in plans[0])
    damaged = sum(count for group, count in groups.items() if group.startswith("damaged"))
    real = sum(count for group, count in groups.items() if group.endswith("real command"))
    assert 130 < damaged < 210
    assert 200 < real < 300
    assert len(groups) == 4 * (3 + 3 + 1)
    kills = [kill for plan in plans[0] for kill in plan.kills]
    assert {kill.signal for kill in kills} == {*SIGNALS}
    assert sum(kill.step > 300 for kill in kills) > 100
    assert sum(kill.step == 0 for kill in kills) > 200


Main = Callable[[list[str]], int]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Ended]:
    """How a fork ends that does this instead of a command."""

    def ended(main: Main, kill: Kill | None = None) -> Ended:
        monkeypatch.setattr(processes, "main", main)
        watched = Watch((str(tmp_path / "run"),), str(tmp_path / "steps.txt"), kill)
        with processes.orphans_are_ours():
            return forked([], tmp_path, watched, {})

    return ended


@pytest.mark.slow
def test_a_fork_that_hangs_is_ended_and_told(
    ended: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def spins(_: list[str]) -> int:
        while True:
            pass

    def sleeps(_: list[str]) -> int:
        time.sleep(600)
        return 0

    monkeypatch.setattr(processes, "CPU", 1)
    assert ended(spins).broken().startswith("hangs")
    monkeypatch.setattr(processes, "WALL", 0.2)
    assert ended(sleeps).broken().startswith("hangs")


@pytest.mark.slow
def test_what_a_fork_leaves_over_is_ended_and_told(
    ended: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    def starts(_: list[str]) -> int:
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        return 0

    monkeypatch.setattr(processes, "GRACE", 0.2)
    done = ended(starts)
    assert done.left == ("sleep 1000",)
    assert done.broken() == "left over: sleep 1000"
    assert ended(lambda _: 0).broken() == ""


def test_a_traceback_is_told_however_a_fork_ends(ended: Callable[..., Ended]) -> None:
    def raises(_: list[str]) -> int:
        raise ValueError("oh")

    assert "a traceback" in ended(raises).broken()
    assert "exit 70" in ended(lambda _: 70).broken()


@pytest.mark.slow
def test_a_signal_comes_at_its_step_or_after_its_seconds(
    ended: Callable[..., Ended], tmp_path: Path
) -> None:
    def writes(_: list[str]) -> int:
        (tmp_path / "elsewhere").write_text("no step")
        for number in range(100_000):
            with whole(tmp_path / "run" / str(number)) as partial:
                partial.write_text("text")
        return 0

    steps = [text.split()[0] for text in ended(writes, Kill(signal.SIGKILL, 6)).steps]
    assert steps == ["os.mkdir", "open", "open", "open", "fsync", "os.rename"]
    assert [path.name[:3] for path in (tmp_path / "run").iterdir()] == [".0."]
    for number in (signal.SIGKILL, signal.SIGTERM):
        done = ended(writes, Kill(number, cpu=0.05))
        assert done.code == -number
        assert 0.05 <= done.cpu < 5


@pytest.mark.slow
def test_a_difference_is_found_wherever_it_is(carry_out: CarryOut, tmp_path: Path) -> None:
    calm, run = carry_out.shared.calm(OnFakes()).folder, tmp_path / "run"
    changes: list[tuple[str, str, str]] = [
        ("results.json", '"value": ', '"value": 1'),
        ("results.json", '"fingerprint": "', '"fingerprint": "x'),
        ("results.json", '"late": false', '"late": true'),
        ("results.json", '"warnings": [', '"warnings": ["More"'),
        ("samples/e.jsonl", '"completion": "', '"completion": "x'),
    ]
    for name, old, new in changes:
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(calm, run)
        assert different(run, calm) == []
        text = (run / name).read_text("utf-8")
        assert old in text, name
        (run / name).write_text(text.replace(old, new, 1), "utf-8")
        assert different(run, calm), (name, new)
