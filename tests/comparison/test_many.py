"""What is said of many p values of one comparison."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from scipy import stats

from harness.comparison.many import together
from harness.results.paired import Difference


def told(*ps: float | None) -> str:
    return together([Difference(0.1, p=p) for p in ps])


def test_one_p_needs_no_correction() -> None:
    assert told() == told(0.01) == told(0.01, None) == ""


def test_what_is_small_by_chance_is_told_apart() -> None:
    assert told(*[0.04] + [0.5] * 39) == (
        "Of all 40 p, 1 are <= 0.05; by chance at most 2 would be. None is a discovery, if at most "
        "5% of those may be false."
    )
    assert told(0.001, 0.02, 0.9, 1.0) == (
        "Of all 4 p, 2 are <= 0.05; by chance at most 0.2 would be. Discoveries, of which at most "
        "5% are false: 2, those with p <= 0.02 (Benjamini and Hochberg)."
    )


@pytest.mark.slow
@given(st.lists(st.floats(1e-9, 1), min_size=2, max_size=30))
def test_the_count_is_scipys(ps: list[float]) -> None:
    found = int((stats.false_discovery_control(ps) <= 0.05 * (1 + 1e-12)).sum())
    assert (f"false: {found}, those" in told(*ps)) == (found > 0)
