"""The benchmark runs; and its fits find what was put in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

numbers = st.floats(-100, 100)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it")
def test_each_kind_of_run_says_what_it_held(
    monkeypatch: pytest.MonkeyPatch, warm_python: list[str]
) -> None:
    import memory
    from turns.series import Asked

    monkeypatch.setattr(memory, "PYTHON", warm_python)
    found = list(memory.series(Asked(toy=True, repeats=1)))
    assert [one.name for one in found] == ["tokens: 2,000", "arms: 2"]
    assert all(10 < one.values[0] < 1e5 for one in found)


@pytest.mark.slow
def test_it_prints_what_runs_held_and_what_each_adds(
    printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folders are those of real runs; what these hold is made up, to be found again."""
    import memory

    seen: list[str] = []

    def run(folder: Path) -> memory.Held:
        task = (folder / "task.toml").read_text()
        lines = (folder / "text.jsonl").read_text().splitlines()
        seen.append(task)
        if 'name = "arms"' in task:
            arms = int(task.partition("draws = ")[2].split()[0])
            return memory.Held(10_000_000 + 500 * arms, 1.0)
        tokens = sum(len(line.split()) - 1 for line in lines)  # beside the name of the field
        return memory.Held(20_000_000 + 3 * tokens + 70 * len(lines), 2.0)

    monkeypatch.setattr(memory, "run", run)
    out = printed("memory", "--toy")
    for line in ("| 2,000 | 40 | 20.0 | 2 |", "| arms | held", "| 4 | 10.0 | 1 |"):
        assert line in out
    assert "bytes per token: 3.0 ± nan; bytes per document: 70.0 ± nan" in out
    assert "bytes per arm: 500.0 ± nan" in out
    assert len(seen) == 5


@given(numbers, numbers, numbers)
def test_a_plane_is_found_again(constant: float, one: float, other: float) -> None:
    from memory import fit

    x = np.array([1e5, 1e6, 1e7, 1e5, 1e6, 1e7])
    y = np.array([781, 7812, 78125, 97, 976, 9765])
    found = fit([x, y], constant + one * x + other * y)
    scale = max(abs(constant), abs(one) * 1e7, abs(other) * 1e5, 1e-6)
    for coefficient, true, by in zip(found, (constant, one, other), (1, 1e7, 1e5), strict=True):
        assert abs(coefficient.value - true) * by <= 1e-8 * scale


@pytest.mark.slow
def test_its_errors_are_those_of_least_squares() -> None:
    """Against many draws of the noise: the spread of what is found is the error that it tells."""
    from memory import fit

    draw = np.random.default_rng(0)
    x = np.arange(20.0)
    fits = [fit([x], 3 + 2 * x + draw.normal(size=20)) for _ in range(2000)]
    for place in range(2):
        spread = np.std([one[place].value for one in fits])
        told = np.sqrt(np.mean([one[place].error ** 2 for one in fits]))
        assert told == pytest.approx(spread, rel=0.06)


def test_without_spare_points_there_is_no_error() -> None:
    from memory import fit

    assert all(np.isnan(one.error) for one in fit([[1, 2]], [3, 4]))
