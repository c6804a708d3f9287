"""The short form of `python -m tests.campaign mutants`: always the same tries, of every kind."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from campaign.changed import as_toml
from campaign.mutants import GROUPS, Mutants, judged, prepared
from campaign.trial import Tried

COUNTS = {"mutated": 60, "written": 40, "damaged": 60, "overridden": 10, "results": 25, "run": 2}
"""How many of each group are tried here, in seconds; the campaign tries thousands."""


@pytest.fixture(scope="module")
def mutants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mutants]:
    with prepared(tmp_path_factory.mktemp("mutants")) as made:
        yield made


def fine(tried: Tried) -> str:
    """How a try ended, where all promises were kept."""
    assert not tried.fault, f"{tried.fault}\n{tried.what}"
    return tried.end


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_a_wrong_file_gets_no_more_than_a_clear_message(mutants: Mutants, group: str) -> None:
    """Of the groups that `check` reads, some must be fine and many must not."""
    count = COUNTS[group]
    ends = Counter(fine(mutants.of(group, random.Random(f"{group} {n}"))) for n in range(count))
    assert ends.total() == count
    if group not in ("results", "run"):
        assert min(ends["done"], ends["refused"]) >= count / 50, ends


@pytest.mark.slow
def test_the_same_chance_is_the_same_try(mutants: Mutants) -> None:
    one, again, other = (mutants.of("mutated", random.Random(seed)) for seed in (1, 1, 2))
    assert one == again != other


@pytest.mark.slow
def test_results_as_they_were_are_fine(mutants: Mutants) -> None:
    sound = mutants.place / "results" / "sound"
    assert fine(judged("results", "sound", "report", str(sound), inside=(str(sound),))) == "done"
    assert "<html" in (sound / "report.html").read_text()


@pytest.mark.slow
def test_a_broken_promise_is_a_fault(mutants: Mutants, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("harness.cli.check._summary", broken)
    tried = mutants.check("damaged", "drift", as_toml(mutants.tasks["drift"]))
    assert tried.end == "broken"
    assert "a traceback, exit 70" in tried.fault


@pytest.mark.slow
def test_whole_processes(
    mutants: Mutants,
    tmp_path: Path,
    environment: Callable[..., dict[str, str]],
    warm_python: list[str],
) -> None:
    """The same in a process of its own, with everything that a command could write to empty."""
    for name in ("home", "tmp", "here"):
        (tmp_path / name).mkdir()
    away = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    env = {**environment(), **away, "PYTHONDONTWRITEBYTECODE": "1"}
    files = []
    for number in range(3):
        mutants.of("damaged", random.Random(number))
        found = max((mutants.place / "tasks").rglob("mutant.toml"), key=lambda f: f.stat().st_mtime)
        files.append(found.rename(found.with_name(f"process{number}.toml")))
    before = sorted((mutants.place / "tasks").rglob("*"))
    done = subprocess.run(
        [*warm_python, "-m", "harness.cli.main", "check", *map(str, files)],
        cwd=tmp_path / "here", env=env, capture_output=True, timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode in (0, 2), done.stderr
    assert b"Traceback" not in done.stdout + done.stderr
    assert not [file for name in away.values() for file in Path(name).rglob("*")]
    assert not list((tmp_path / "here").rglob("*"))
    assert sorted((mutants.place / "tasks").rglob("*")) == before
    for file in files:
        file.unlink()
