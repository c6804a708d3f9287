"""How many more prompts would decide a claim, if the truth is what was observed."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy import special

from harness.claims.redraw import Model, Rate
from harness.results.binomial import at_most
from harness.results.intervals import wilson

POWER = 0.8
"""The share of repeated measurements that would decide it."""
MOST = 10_000_000
"""Beyond as many, no number is said."""
DRAWS = 4000
"""Repeated measurements that are drawn; the error of a share of 0.8 is 0.006."""
_SEED = 15


def exact_limits(successes: int, n: int) -> tuple[float, float]:
    """The 95% interval of a rate by the binomial distribution itself (Clopper and Pearson).

    Never leaves out the true rate more often than in 2.5% of runs on either side; Wilson's does,
    near 0 and 1. Source: C. J. Clopper and E. S. Pearson, 1934.
    """
    low = special.betaincinv(successes, n - successes + 1, 0.025) if successes else 0.0
    high = special.betaincinv(successes + 1, n - successes, 0.975) if successes < n else 1.0
    return float(low), float(high)


def rate_limits(successes: int, n: int) -> tuple[float, float]:
    """What decides about a rate: from the lower of both low ends, Wilson's and the exact one, to
    the higher of both high ends."""
    (one, two), (low, high) = wilson(successes, n), exact_limits(successes, n)
    return min(one, low), max(two, high)


def needed(model: Model, value: float, bound: float, n: int) -> int | None:
    """The least number of prompts, at `n` of which this was observed, whose interval would leave
    out the bound in 80% of measurements; None where 10 million would not be enough.

    A new measurement of as many is asked for, which is a little more than what would have to be
    added to the prompts at hand. At least n + 1. The value is not the bound.
    """

    def enough(total: int) -> bool:
        return power(model, value, bound, n, total) >= POWER

    few, many = n, n + 1
    while not enough(many):
        if many >= MOST:
            return None
        few, many = many, min(MOST, n + 2 * (many - n))
    while many - few > max(1, few // 1000):
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def power(model: Model, value: float, bound: float, n: int, total: int) -> float:
    """In what share of measurements of `total` prompts the interval would lie on that side of the
    bound on which the value lies. Exact for a rate, drawn with a fixed seed for other numbers."""
    if isinstance(model, Rate):
        return _rate_power(model.successes / model.n, bound, total)
    generator = np.random.default_rng(_SEED)
    found = model.redraw(total / n, generator, DRAWS)
    decided = found.high < bound if value < bound else found.low > bound
    return float(decided.mean())


def _rate_power(rate: float, bound: float, total: int) -> float:
    if rate > bound:  # the same question about the failures
        return _rate_power(1 - rate, 1 - bound, total)
    most = _most_below(bound, total)
    return 0.0 if most < 0 else at_most(most, total, rate)


@cache
def _most_below(bound: float, total: int) -> int:
    """The most successes whose interval lies below the bound; -1 where no count does."""
    few, many = -1, math.ceil(total * min(1.0, bound)) + 1
    while many - few > 1:
        middle = (few + many) // 2
        inside = middle <= total and rate_limits(middle, total)[1] < bound
        few, many = (middle, many) if inside else (few, middle)
    return few
