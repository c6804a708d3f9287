"""The interval of a difference, against the literature and against simulated truth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, strategies as st

from harness.contract import Record
from harness.results import wilson
from harness.results.answer.difference import apart_from, difference

Make = Callable[..., Record]
shares = st.floats(0, 1).flatmap(lambda v: st.tuples(st.just(v), st.floats(0, v), st.floats(v, 1)))


def of(value: float, low: float, high: float) -> Record:
    return Record("a@1", value, 10, "prompts", "share", ci=(low, high))


@pytest.mark.parametrize(
    ("hits", "low", "high"),
    [
        # Newcombe 1998, Table II, method 10.
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((10, 10, 0, 10), 0.6075, 1.0000),
    ],
)
def test_differences_of_shares_are_those_of_the_paper(
    hits: tuple[int, int, int, int], low: float, high: float
) -> None:
    a, m, b, n = hits
    found = difference(of(a / m, *wilson(a, m)), of(b / n, *wilson(b, n)))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


def test_the_interval_covers_the_truth_of_normal_means() -> None:
    """For normal numbers, the interval is the one of the textbook: 95% of them hold the truth."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(4000):
        a, b = rng.normal(1.0, 0.2), rng.normal(0.4, 0.3)
        one = of(a, a - 1.96 * 0.2, a + 1.96 * 0.2)
        other = of(b, b - 1.96 * 0.3, b + 1.96 * 0.3)
        found = difference(one, other)
        assert found is not None
        assert found.high - found.low == pytest.approx(2 * 1.96 * np.hypot(0.2, 0.3))
        inside += found.low <= 0.6 <= found.high
    assert 0.94 <= inside / 4000 <= 0.96


@pytest.mark.slow
@given(shares, shares)
def test_turned_round_it_is_its_own_opposite(
    a: tuple[float, float, float], b: tuple[float, float, float]
) -> None:
    one, other = difference(of(*a), of(*b)), difference(of(*b), of(*a))
    assert one is not None
    assert other is not None
    assert (one.value, one.low, one.high) == (-other.value, -other.high, -other.low)
    assert one.low <= one.value <= one.high
    assert one.seen == other.seen


@given(shares)
def test_a_number_does_not_differ_from_itself(a: tuple[float, float, float]) -> None:
    found = difference(of(*a), of(*a))
    assert found is not None
    assert not found.seen


def test_without_an_interval_there_is_no_difference() -> None:
    bare = Record("a@1", 0.5, 10, "prompts", "share")
    assert difference(bare, of(0.1, 0, 0.2)) is None
    assert difference(of(0.1, 0, 0.2), bare) is None
    assert apart_from(bare, 0.1) is None


def test_a_number_is_apart_from_one_outside_its_interval() -> None:
    assert apart_from(of(0.5, 0.4, 0.6), 0.3) is True
    assert apart_from(of(0.5, 0.4, 0.6), 0.4) is False
