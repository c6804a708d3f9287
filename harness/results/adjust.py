"""From the p of many tests to discoveries among them: pure functions of arrays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from harness.contract import Dependence

Tests = Float[np.ndarray, " m"]
_ROUNDING = 1 + 1e-12


def adjusted(p: Tests, dependence: Dependence = "positive") -> Tests:
    """q: the smallest rate at which each test is a discovery. In [p, 1], and ordered as p is.

    With the p in order, q_(i) = min over j ≥ i of m p_(j) / j (Benjamini and Hochberg, 1995): the
    expected share of false ones among the discoveries with q ≤ rate is at most rate, where tests
    are independent or positively dependent. For any dependence m is m (1 + 1/2 + … + 1/m)
    (Benjamini and Yekutieli, 2001). Equal p have equal q. Raises ValueError for a p that is none.
    """
    if not len(p):
        return np.zeros(0)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("a p is not between 0 and 1")
    order, ranks = np.argsort(p), np.arange(1, len(p) + 1)
    ranked = p[order] * (len(p) / ranks)
    if dependence == "any":
        ranked *= (1 / ranks).sum()
    found = np.empty(len(p))
    found[order] = np.minimum.accumulate(ranked[::-1])[::-1]
    return np.clip(found, 0.0, 1.0)


def discovered(q: Tests, rate: float) -> Bool[np.ndarray, " m"]:
    """Which tests are discoveries at a rate: q ≤ rate, within rounding."""
    return np.asarray(q <= rate * _ROUNDING)


def within_reach(p: Tests, rate: float, dependence: Dependence = "positive") -> Tests:
    """For each test, the largest p with which it would be a discovery, all others as they are.

    That is rate k / m, with k the most discoveries that there could be if it were one of them. For
    a discovery it is not below its own p. A test whose smallest possible p is above it could not
    have been a discovery.
    """
    m = len(p)
    if not m:
        return np.zeros(0)
    limits = rate * np.arange(1, m + 1) / m
    if dependence == "any":
        limits /= (1 / np.arange(1, m + 1)).sum()
    order = np.argsort(p, kind="stable")
    ordered = p[order]
    # k tests can be discoveries together with the one asked about where k − 1 others reach the k-th
    # limit. Without it, those before it keep their place and those behind it come one forward.
    most = np.zeros(m, dtype=np.int64)
    before = np.concatenate([[True], ordered[:-1] <= limits[1:] * _ROUNDING])
    behind = ordered <= limits * _ROUNDING
    first = np.maximum.accumulate(np.where(before, np.arange(1, m + 1), 1))
    last = int(np.flatnonzero(behind).max(initial=-1)) + 1
    most[order] = np.maximum(first, last)
    return np.asarray(limits[most - 1])
