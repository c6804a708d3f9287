"""MOVER: against published figures, its own definition, and simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

from harness.results.intervals import wilson
from harness.results.mover import mover_difference, mover_ratio

NUMBER = st.floats(-3, 3).filter(lambda x: abs(x) > 1e-3)
HALF = st.floats(0.001, 2)


def test_a_difference_of_rates_is_newcombes_published_interval() -> None:
    """R. G. Newcombe 1998, table II, example a: 56/70 against 48/80, method 10."""
    low, high = mover_difference(56 / 70, wilson(56, 70), 48 / 80, wilson(48, 80))
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


@given(NUMBER, HALF, NUMBER, HALF)
def test_of_normal_numbers_a_difference_is_the_usual_one(
    a: float, half_a: float, b: float, half_b: float
) -> None:
    low, high = mover_difference(a, (a - half_a, a + half_a), b, (b - half_b, b + half_b))
    half = math.sqrt(half_a**2 + half_b**2)
    assert low == pytest.approx(a - b - half)
    assert high == pytest.approx(a - b + half)


@settings(deadline=None)
@given(NUMBER, HALF, HALF, NUMBER, HALF, HALF)
def test_a_ratio_holds_exactly_what_its_difference_does_not_reject(
    a: float, a_low: float, a_high: float, b: float, b_low: float, b_high: float
) -> None:
    """R is in the interval where 0 is in that of `a − R b`: the definition, tried on a grid."""
    a_ci, b_ci = (a - a_low, a + a_high), (b - b_low, b + b_high)
    assume(min(map(abs, b_ci)) > 1e-6)  # an end that is 0 but for rounding is no end of a grid
    found, why = mover_ratio(a, a_ci, b, b_ci)
    if b_ci[0] <= 0 <= b_ci[1]:
        assert found is None
        assert why
        return
    assert found is not None
    low, high = found
    assert low <= a / b <= high
    width = high - low
    assume(math.isfinite(width))
    for r in [*np.linspace(low - width, high + width, 61), low + width / 1e4, high - width / 1e4]:
        scaled = tuple(sorted((r * b_ci[0], r * b_ci[1])))
        ends = mover_difference(a, a_ci, r * b, (scaled[0], scaled[1]))
        inside = ends[0] <= 0 <= ends[1]
        if min(abs(r - low), abs(r - high)) > 1e-6 * max(1.0, width):
            assert inside == (low < r < high), (r, found, ends)


def test_it_is_the_published_formula_for_positive_numbers() -> None:
    """Donner and Zou 2012, equation 9, written out."""
    a, (l1, u1), b, (l2, u2) = 0.6, (0.5, 0.75), 0.4, (0.3, 0.45)
    low = (a * b - math.sqrt((a * b) ** 2 - l1 * u2 * (2 * a - l1) * (2 * b - u2))) / (
        u2 * (2 * b - u2)
    )
    high = (a * b + math.sqrt((a * b) ** 2 - u1 * l2 * (2 * a - u1) * (2 * b - l2))) / (
        l2 * (2 * b - l2)
    )
    assert mover_ratio(a, (l1, u1), b, (l2, u2))[0] == pytest.approx((low, high))


def test_no_successes_over_many() -> None:
    """A ratio of 0 has an upper end, where a bootstrap would have none."""
    found, _ = mover_ratio(0.0, wilson(0, 100), 0.8, wilson(80, 100))
    assert found is not None
    assert found[0] == 0.0
    assert 0.037 < found[1] < 0.06


@pytest.mark.parametrize(("p", "q", "n"), [(0.3, 0.6, 60), (0.05, 0.4, 100), (0.9, 0.7, 40)])
def test_both_cover(p: float, q: float, n: int) -> None:
    generator = np.random.default_rng(3)
    hits, ratios, draws = 0, 0, 1500
    for _ in range(draws):
        x, y = generator.binomial(n, p), generator.binomial(n, q)
        sides = x / n, wilson(x, n), y / n, wilson(y, n)
        low, high = mover_difference(*sides)
        hits += low <= p - q <= high
        found, _ = mover_ratio(*sides)
        ratios += found is None or found[0] <= p / q <= found[1]
    assert 0.93 <= hits / draws <= 0.975
    assert 0.93 <= ratios / draws <= 0.975
