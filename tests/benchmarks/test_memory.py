"""The benchmark runs; and its fits find what was put in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

SCRIPT = Path(__file__).parent / "memory.py"
sys.path.insert(0, str(SCRIPT.parent))  # benchmarks are no package

numbers = st.floats(-100, 100)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it")
def test_it_runs() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--toy"], capture_output=True, text=True, check=False, timeout=1800
    )
    assert done.returncode == 0, done.stderr
    for line in ("| 2,000 | 40 |", "bytes per token: ", "| arms | held", "bytes per arm: "):
        assert line in done.stdout


@given(numbers, numbers, numbers)
def test_a_plane_is_found_again(constant: float, one: float, other: float) -> None:
    from memory import fit

    x = np.array([1e5, 1e6, 1e7, 1e5, 1e6, 1e7])
    y = np.array([781, 7812, 78125, 97, 976, 9765])
    found = fit([x, y], constant + one * x + other * y)
    scale = max(abs(constant), abs(one) * 1e7, abs(other) * 1e5, 1e-6)
    for coefficient, true, by in zip(found, (constant, one, other), (1, 1e7, 1e5), strict=True):
        assert abs(coefficient.value - true) * by <= 1e-8 * scale


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
