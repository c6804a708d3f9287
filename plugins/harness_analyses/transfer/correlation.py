"""Correlations of two numbers of the same domains, with p and intervals: pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from jaxtyping import Float, Int
from scipy import special, stats

Domains = Float[np.ndarray, " n"]
"""A number of each domain."""
FEWEST = 3
"""Domains below which a correlation means nothing: two points always lie on a line."""
EVERY = 10
"""Domains up to which a p is made of all their orders."""
ENOUGH = 5
"""Domains below which draws of them give no interval."""


@dataclass(frozen=True)
class Correlation:
    """Pearson's r, Spearman's ρ, and r² (which is R² of the least-squares line)."""

    pearson: float
    spearman: float

    @property
    def r2(self) -> float:
        """The share of the variance of one that a line in the other explains, in [0, 1]."""
        return self.pearson**2


def correlation(x: Domains, y: Domains) -> tuple[Correlation | None, str | None]:
    """Both coefficients, in [−1, 1], or why there are none: too few points, or no variance."""
    if len(x) < FEWEST:
        return None, f"{len(x)} domains; a correlation needs {FEWEST}"
    for name, values in (("forecast", x), ("measured change", y)):
        if np.ptp(values) <= 1e-12 * np.abs(values).max():  # what differs is rounding
            return None, f"the {name} is {values[0]:.3g} in all {len(x)} domains"
    pearson = float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))
    ranks = stats.rankdata(x), stats.rankdata(y)
    return Correlation(pearson, float(np.clip(np.corrcoef(*ranks)[0, 1], -1, 1))), None


def permutation_p(x: Domains, y: Domains, most: int, seed: int) -> float:
    """Two-sided p of Pearson's r: the share of orders of x in which |r| is as large, or larger.

    All n! orders where n is at most 10 (3,628,800), which needs no draw; else `most` drawn ones,
    and the order at hand. Orders that give the |r| at hand within rounding
    (1e-12 of what |r| = 1 would be) count as equal to it. In (0, 1].
    """
    # Of all orders of x, r is this product but for a constant factor.
    a, b = (values - values.mean() for values in (x, y))
    limit = abs(float(a @ b)) - 1e-12 * float(np.linalg.norm(a) * np.linalg.norm(b))
    if len(x) <= EVERY:
        orders, every = _orders(len(x)), math.factorial(len(x))
        found = sum(int((np.abs(a[some] @ b) >= limit).sum()) for some in orders)
        return found / every
    rng = np.random.default_rng(seed)
    found = sum(abs(float(rng.permutation(a) @ b)) >= limit for _ in range(most))
    return (1 + found) / (1 + most)


def least_p(n: int, most: int) -> float:
    """The smallest p that `permutation_p` can come to for n domains."""
    return 1 / math.factorial(n) if n <= EVERY else 1 / (1 + most)


def _orders(n: int) -> Iterator[Int[np.ndarray, "orders n"]]:
    """All orders of n things, in blocks that share their first ones, 5,040 orders at most."""
    inner = np.array(list(permutations(range(min(n, 7)))))
    for head in permutations(range(n), n - min(n, 7)):
        rest = np.array([i for i in range(n) if i not in head])
        yield np.column_stack([np.tile(head, (len(inner), 1)).astype(np.int64), rest[inner]])


def bootstrap(
    x: Domains, y: Domains, draws: int, seed: int
) -> tuple[dict[str, tuple[float, float]] | None, str | None]:
    """95% intervals of `pearson`, `spearman` and `r2`, by drawing domains with replacement.

    Percentiles at Φ(∓ t_{n−1, 97.5%} √(n/(n−1))), wider than plain ones for few domains
    (Hesterberg 2015). Draws in which one of the two does not vary are drawn again. None, with the
    reason, for fewer than 5 domains.
    """
    n = len(x)
    if n < ENOUGH:
        return None, f"{n} domains; an interval needs {ENOUGH}"
    rng = np.random.default_rng(seed)
    # More than are needed, as some do not vary; the first `draws` of those that do count.
    rows = rng.integers(n, size=(4 * draws, n))
    rows = rows[(np.ptp(x[rows], axis=1) > 0) & (np.ptp(y[rows], axis=1) > 0)][:draws]
    if len(rows) < draws:
        return None, "most draws of domains do not vary"
    a, b = x[rows], y[rows]
    pearson = _rowwise(a, b)
    spearman = _rowwise(stats.rankdata(a, axis=1), stats.rankdata(b, axis=1))
    drawn = {"pearson": pearson, "spearman": spearman, "r2": pearson**2}
    tail = special.ndtr(-special.stdtrit(n - 1, 0.975) * np.sqrt(n / (n - 1)))
    ends = {name: np.quantile(values, [tail, 1 - tail]) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}, None


def _rowwise(
    x: Float[np.ndarray, "draws n"], y: Float[np.ndarray, "draws n"]
) -> Float[np.ndarray, " draws"]:
    """Pearson's r of each row."""
    x, y = (array - array.mean(1, keepdims=True) for array in (x, y))
    r: np.ndarray = (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))
    return r.clip(-1, 1)


def leave_one_out(x: Domains, y: Domains) -> list[float | None]:
    """Pearson's r without each of the domains in turn; None where it is undefined."""
    others = (correlation(np.delete(x, i), np.delete(y, i))[0] for i in range(len(x)))
    return [None if found is None else found.pearson for found in others]


def extremes(change: Domains, each: int) -> Float[np.ndarray, " m"]:
    """The indices of the `each` largest and `each` smallest values, ascending; ties by index."""
    order = np.argsort(-change, kind="stable")
    return np.sort(np.concatenate([order[:each], order[len(order) - each :]]))
