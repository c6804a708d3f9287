"""`python -m tests.benchmarks --against COMMIT` finds what became slower."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, strategies as st
from turns.clock import timed
from turns.command import main
from turns.compare import Change, changes, median_interval
from turns.series import Asked, Series, benchmarks, read, told, write
from turns.tree import Tree, WrongCode

HERE = Path(__file__).parent

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import harness, ours.plugin
from turns.series import Series, told

def series(asked):
    control = (1.0,) * asked.repeats
    assert Path(ours.plugin.__file__).parents[2] == Path(harness.__file__).parents[1]
    yield Series("", "work", (harness.SECONDS,) * asked.repeats)
    yield Series("", "beside", (harness.SECONDS,) * asked.repeats, beside=control)
    yield Series("", "theirs", (harness.SECONDS,) * asked.repeats, ours=False)

told(None, series)
"""
NEWER = SCRIPT.replace("import harness, ours.plugin", "import harness, ours.plugin, harness.later")


def git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", root, *who, *words], check=True, capture_output=True)


def commit(root: Path, seconds: float, scripts: dict[str, str]) -> None:
    """A repository whose harness says what it takes, with such scripts."""
    for file, text in {
        "harness/__init__.py": f"SECONDS = {seconds}\n",
        "plugins/ours/__init__.py": "",
        "plugins/ours/plugin.py": "",
        "pyproject.toml": '[project.entry-points.harness]\nours = "ours.plugin"\n',
        **{f"tests/benchmarks/{name}.py": text for name, text in scripts.items()},
    }.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)
    git(root, "add", ".")
    git(root, "commit", "-q", "--allow-empty", "-m", "x")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    commit(folder, 1.0, {"old_speed": SCRIPT.format(here=str(HERE)), "helper": "x = 1\n"})
    return folder


def compared(root: Path, *words: str, turns: int = 1) -> Result:
    few = ["--turns", str(turns), "--repeats", "2"]
    return CliRunner().invoke(main, ["--root", str(root), *few, *words])


@pytest.mark.slow
def test_what_became_slower_is_named_and_the_exit_status_is_1(root: Path) -> None:
    commit(root, 1.2, {})
    done = compared(root, "--against", "HEAD~1", turns=2)
    assert done.exit_code == 1, done.output
    assert "| old_speed | work | s | 1.200 | 1.200 to 1.200 | slower |" in done.output
    assert "| old_speed | beside | × its control | 1.200 |" in done.output
    assert "| theirs | s | 1.200 | 1.200 to 1.200 | not ours |" in done.output
    assert "slower: old_speed, work; old_speed, beside\n" in done.output


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "verdict"), [(1.04, "alike"), (1.0, "alike"), (0.5, "faster")])
def test_five_percent_are_allowed(root: Path, seconds: float, verdict: str) -> None:
    commit(root, seconds, {})
    done = compared(root, "--against", "HEAD~1")
    assert done.exit_code == 0, done.output
    assert f"| {verdict} |" in done.output
    assert "nothing of ours takes more than 1.05 times as long" in done.output


@pytest.mark.slow
def test_a_benchmark_that_the_other_commit_lacks_is_todays_on_its_code_or_named(root: Path) -> None:
    """What is not committed yet counts, too: the checkout is measured as it is."""
    here = str(HERE)
    (root / "harness" / "later.py").write_text("")
    (root / "tests/benchmarks/new_speed.py").write_text(SCRIPT.format(here=here))
    (root / "tests/benchmarks/newest_speed.py").write_text(NEWER.format(here=here))
    done = compared(root, "--against", "HEAD")
    assert done.exit_code == 0, done.output
    assert "| new_speed | work | s | 1.000 |" in done.output
    assert "newest_speed: does not run there: ModuleNotFoundError" in done.output


@pytest.mark.slow
def test_where_todays_script_does_not_work_there_its_own_is_run(root: Path) -> None:
    (root / "harness" / "later.py").write_text("")
    (root / "tests/benchmarks/old_speed.py").write_text(NEWER.format(here=str(HERE)))
    done = compared(root, "--against", "HEAD")
    assert done.exit_code == 0, done.output
    assert "old_speed: the other commit's own script ran there" in done.output
    assert "| old_speed | work | s | 1.000 |" in done.output


@pytest.mark.slow
def test_a_benchmark_that_does_not_run_here_is_named(root: Path) -> None:
    (root / "tests/benchmarks/old_speed.py").write_text("def series(asked):\n  pass\n1 / 0\n")
    done = compared(root, "--against", "HEAD")
    assert "old_speed: does not run here: ZeroDivisionError" in done.output
    assert "nothing could be compared" in done.output
    assert done.exit_code == 2


@pytest.mark.slow
def test_nothing_of_the_other_checkout_stays(root: Path) -> None:
    compared(root, "--against", "HEAD")
    listed = subprocess.run(
        ["git", "-C", root, "worktree", "list"], capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == 1
    assert not list(root.glob("tests/benchmarks_of_today"))


def test_mistakes_are_sentences(root: Path) -> None:
    done = compared(root, "--against", "nothing")
    assert done.exit_code == 2
    assert "git can't check out 'nothing'" in done.output
    done = compared(root, "--against", "HEAD", "--only", "sped")
    assert done.exit_code == 2
    assert "'sped' is none of old_speed." in done.output


@pytest.mark.slow
def test_code_of_another_tree_is_refused(root: Path, tmp_path: Path) -> None:
    """Plugins that are installed, or lie elsewhere, are not taken for the tree's own."""
    Tree(root, Path(sys.executable), tmp_path).check()
    (root / "plugins/ours/plugin.py").unlink()
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(WrongCode, match="ours is"):
        Tree(root, Path(sys.executable), tmp_path).check()


def test_a_benchmark_is_a_script_with_a_function_series(root: Path) -> None:
    assert list(benchmarks(root / "tests" / "benchmarks")) == ["old_speed"]
    ours = benchmarks(HERE)
    assert {"sae_speed", "drift_speed", "observer_speed"} <= ours.keys()
    assert not any(name.startswith(("test_", "_")) for name in ours)


# ── the comparison itself ────────────────────────────────────────────────────────────────────────

positive = st.floats(0.01, 100)


@given(st.lists(positive, min_size=1, max_size=12), positive)
def test_a_ratio_does_not_depend_on_the_load_that_a_control_shares(
    values: Sequence[float], load: float
) -> None:
    """Everything `load` times as slow: the quotients are what they were."""
    control = tuple(1.0 + n for n in range(len(values)))
    here = Series("", "a", tuple(values), beside=control)
    busy = Series("", "a", tuple(load * v for v in values), beside=tuple(load * c for c in control))
    (change,) = changes("x", [[here]], [[busy]])
    assert change.ratio == pytest.approx(1.0)


@given(st.lists(positive, min_size=1, max_size=25))
def test_the_interval_holds_the_median_and_does_not_mind_the_order(values: list[float]) -> None:
    low, high = median_interval(values)
    assert low <= statistics.median(values) <= high
    assert median_interval(values[::-1]) == (low, high)
    if len(values) <= 5:
        assert (low, high) == (min(values), max(values))


@pytest.mark.parametrize("n", [5, 9, 15])
def test_the_interval_holds_the_true_median_as_often_as_it_says(n: int) -> None:
    draw = random.Random(0)
    held = 0
    for _ in range(4000):
        low, high = median_interval([draw.expovariate(1) for _ in range(n)])
        held += low <= 0.6931471805599453 <= high
    assert held / 4000 >= 0.92


def test_a_slower_median_with_a_faster_turn_is_perhaps_slower() -> None:
    assert Change("x", "y", "s", (1.2, 1.2, 0.9, 1.3, 1.2)).verdict == "perhaps slower"
    assert Change("x", "y", "s", (1.2, 1.2, 1.01, 1.3, 1.2)).verdict == "slower"


def test_series_are_read_as_they_were_written(tmp_path: Path) -> None:
    some = [Series("a", "b", (1.0, 2.0), "MB", (3.0, 4.0), ours=False), Series("", "c", (1.0,))]
    write(tmp_path / "x.json", some)
    assert read(tmp_path / "x.json") == some
    assert told(["--json", str(tmp_path / "y.json"), "--toy", "--repeats", "2"], _echo)
    assert read(tmp_path / "y.json") == [Series("toy", "2", (1.0,))]
    assert not told(["--toy"], _echo)


def _echo(asked: Asked) -> list[Series]:
    return [Series("toy" if asked.toy else "real", str(asked.repeats), (1.0,))]


def test_a_turn_is_timed_by_both_clocks() -> None:
    taken = timed(lambda: sum(range(300_000)))
    assert taken.cpu > 0
    assert taken.wall > 0
