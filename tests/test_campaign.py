"""Thousands of task files that are wrong: none gets more out of us than a clear message.

In every run of the suite at least 5,000 are tried, always the same ones. `HARNESS_CAMPAIGN=20`
tries twenty times as many, other ones too; what breaks is kept beside the message.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from campaign.grammar import Grammar
from campaign.mutants import changed, mutants
from campaign.referee import TooSlow, run
from campaign.texts import damaged
from harness.registry import discover
from harness.task.file import builtin_tasks, task_folders

TIMES = float(os.environ.get("HARNESS_CAMPAIGN", "1"))
MUTANTS, WRITTEN, DAMAGED, OVERRIDDEN, RESULTS = (
    int(n * TIMES) for n in (2400, 900, 1700, 200, 300)
)
assert TIMES < 1 or MUTANTS + WRITTEN + DAMAGED >= 5000
REGISTRY = discover()
GRAMMAR = Grammar(REGISTRY)
FOLDER = task_folders()[0]
# Not those of smollm2/, which are fine only where their inputs were fetched.
FILES = {name: file for name, file in builtin_tasks().items() if not name.startswith("smollm2/")}
TASKS = {name: tomllib.loads(file.read_text("utf-8")) for name, file in FILES.items()}


def campaign(count: int) -> Any:
    """As many examples as `count`, always the same ones; a failure is made small, but not for
    long: every try runs a command."""
    return settings(
        max_examples=max(count, 1), derandomize=TIMES <= 1, deadline=None, database=None,
        phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped tasks in a folder of their own, beside the organism: a mutant stands where the
    task stood that it was made of."""
    folder = tmp_path_factory.mktemp("campaign") / "tasks"
    for name, file in FILES.items():
        target = folder / f"{name}.toml"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    for name in ("organism", "smollm2", "league/organisms"):
        (folder / name).symlink_to(FOLDER / name)
    (folder / "loop.toml").write_text('extends = "mutant.toml"\n')
    return folder


@pytest.fixture(autouse=True)
def _one_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Plugins are looked for once, and not in each of thousands of runs."""
    monkeypatch.setattr("harness.registry.discover", lambda disabled: REGISTRY)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def check(file: Path, content: bytes, *flags: str) -> int:
    """Checks a mutant: its exit code, where all promises are kept."""
    file.write_bytes(content)
    try:
        verdict = run("check", str(file), *flags)
    except TooSlow as slow:
        raise AssertionError(f"{slow}\n{content!r}") from None
    if broken := verdict.broken():
        kept = Path(os.environ.get("HARNESS_CAMPAIGN_KEPT", file.parents[0])) / "broken.toml"
        kept.write_bytes(content)
        raise AssertionError(f"{broken}\n{verdict.err[-3000:]}\nkept as {kept}\n{content!r}")
    return verdict.code


def test_shipped_tasks_are_fine_where_they_are_changed(tasks: Path) -> None:
    for name in TASKS:
        file = tasks / f"{name}.toml"
        assert check(file.with_name("mutant.toml"), file.read_bytes()) == 0


def tried(count: int, strategy: st.SearchStrategy[Any], one: Callable[[Any], int]) -> None:
    """Tries as many as `count`; of them some must be fine and many must not."""
    codes: Counter[int] = Counter()

    @campaign(count)
    @given(example=strategy)
    def attempt(example: Any) -> None:
        codes[one(example)] += 1

    attempt()
    assert codes.total() >= count
    assert TIMES < 1 or min(codes[0], codes[2]) >= count / 50, codes


def test_mutated_tasks(tasks: Path) -> None:
    def one(mutant: tuple[str, bytes]) -> int:
        name, content = mutant
        return check((tasks / name).with_name("mutant.toml"), content)

    tried(MUTANTS, mutants(TASKS), one)


def test_tasks_written_from_the_grammar(tasks: Path) -> None:
    tried(WRITTEN, GRAMMAR.tasks(), lambda content: check(tasks / "mutant.toml", content))


def test_damaged_text(tasks: Path) -> None:
    seed = 0 if TIMES <= 1 else random.randrange(2**32)
    codes = []
    for number in range(DAMAGED):
        chance = random.Random(seed + number)
        name = chance.choice(sorted(TASKS))
        content = damaged((tasks / f"{name}.toml").read_bytes(), chance)
        codes.append(check((tasks / name).with_name("mutant.toml"), content))
    assert TIMES < 1 or {0, 2} == set(codes)


def test_overrides(tasks: Path) -> None:
    content = (tasks / "refusal.toml").read_bytes()
    keys = ["name", "title", "seed", "models.base.path", "data.web.limit", "views", "x.y", "=", "",
            '"a b".c', "a..b", "models.base.expect.layers", "directions.refusal.sweep.k",
            "saes.mid", "extends", "batch.shard"]  # fmt: skip
    values = st.one_of(st.text(), st.sampled_from(["false", "[", "{a=1}", "1e999", "nan", "7"]))
    tried(
        OVERRIDDEN,
        st.tuples(st.sampled_from(keys), values),
        lambda pair: check(tasks / "mutant.toml", content, "--set", f"{pair[0]}={pair[1]}"),
    )


def test_whole_processes(
    tasks: Path, tmp_path: Path, environment: Callable[..., dict[str, str]]
) -> None:
    """The same in processes of their own, with everything that a command could write to empty."""
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()
    away = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    files = []
    for number in range(max(int(6 * TIMES), 1)):
        chance = random.Random(number)
        name = chance.choice(sorted(TASKS))
        file = (tasks / name).with_name(f"process{number}.toml")
        file.write_bytes(damaged((tasks / f"{name}.toml").read_bytes(), chance))
        files.append(str(file))
    before = sorted(tasks.rglob("*"))
    for arguments in (["check", *files], *(["check", file] for file in files[:2])):
        done = subprocess.run(
            [sys.executable, "-B", "-m", "harness.cli.main", *arguments], cwd=tmp_path / "here",
            env={**environment(), **away}, capture_output=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 2), done.stderr
        assert b"Traceback" not in done.stdout + done.stderr
    assert not [*(tmp_path / "home").rglob("*"), *(tmp_path / "tmp").rglob("*")]
    assert not list((tmp_path / "here").rglob("*"))
    assert sorted(tasks.rglob("*")) == before


# ── Results that somebody has changed ────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder, as far as `gate`, `report` and `compare` read it."""
    folder = tmp_path_factory.mktemp("results")
    record = {"id": "l0@1", "options": {"k": 1}, "value": 3.5, "n": 9, "n_of": "tokens",
              "unit": "latents", "ci": [3.0, 4.0], "null": None, "undefined": None,
              "axes": {"sae": "mid", "site": "resid_post.2"}}  # fmt: skip
    content = {
        "schema": 1, "status": "complete", "problems": [], "warnings": [], "provenance": {},
        "task": {"name": "x", "gates": {"few": {"assert": "l0[sae=mid] <= 5"}}},
        "records": [record, {**record, "axes": {"sae": "late"}, "value": None, "ci": None,
                             "undefined": "nothing was read"}],
    }  # fmt: skip
    (folder / "sound").mkdir()
    (folder / "mutant").mkdir()
    (folder / "sound" / "results.json").write_text(json.dumps(content))
    return folder


def test_results_that_were_changed(results: Path) -> None:
    sound = json.loads((results / "sound" / "results.json").read_text())
    commands = [("gate",), ("compare", str(results / "sound")), ("compare", "--json"), ("report",)]

    def one(example: tuple[int, dict[str, Any], bytes | None]) -> int:
        number, content, text = example
        written = json.dumps(content, default=str).encode() if text is None else text
        (results / "mutant" / "results.json").write_bytes(written)
        verdict = run(*commands[number], str(results / "mutant"))
        if broken := verdict.broken((0, 1, 2, 3), str(results / "mutant")):
            raise AssertionError(f"{broken}\n{verdict.err[-3000:]}\n{written!r}")
        return 2 * bool(verdict.code)

    assert one((3, sound, None)) == 0
    assert "<html" in (results / "mutant" / "report.html").read_text()
    whole = json.dumps(sound).encode()
    texts = st.integers(0, 2**32).map(lambda seed: damaged(whole, random.Random(seed)))
    contents = changed({"results": sound}).map(lambda found: found[1])
    tried(RESULTS, st.tuples(st.integers(0, 3), contents, st.one_of(st.none(), texts)), one)
