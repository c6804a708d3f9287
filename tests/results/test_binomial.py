"""Chances of a number of successes: exact fractions, and scipy.stats."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from harness.results.binomial import at_most, chances


@settings(max_examples=50)
@given(st.integers(0, 60), st.fractions(Fraction(1, 50), Fraction(49, 50), max_denominator=50))
def test_chances_are_the_fractions(n: int, p: Fraction) -> None:
    exact = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    assert chances(n, float(p)) == pytest.approx([float(one) for one in exact], rel=1e-12)
    for k in range(n + 1):
        assert at_most(k, n, float(p)) == pytest.approx(float(sum(exact[: k + 1])), rel=1e-12)


@pytest.mark.parametrize("n", [1, 300, 5000, 100_000])
@pytest.mark.parametrize("p", [1 / 7, 0.5, 0.98])
def test_many_tries_are_as_scipys(n: int, p: float) -> None:
    k = np.arange(n + 1)
    likely = (expected := stats.binom.pmf(k, n, p)) > 1e-280
    assert chances(n, p)[likely] == pytest.approx(expected[likely], rel=1e-9, abs=0)
    assert math.fsum(chances(n, p)) == pytest.approx(1, rel=1e-10)
    for one in (0, n // 2, int(n * p), n):
        if (below := float(stats.binom.cdf(one, n, p))) > 1e-280:
            assert at_most(one, n, p) == pytest.approx(below, rel=1e-9)


def test_what_is_sure() -> None:
    assert chances(3, 0.5).tolist() == [0.125, 0.375, 0.375, 0.125]
    assert (at_most(0, 5, 0.0), at_most(4, 5, 1.0), at_most(5, 5, 1.0)) == (1.0, 0.0, 1.0)
