"""Whether two numbers go together over a few things, with p from their orders: pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from jaxtyping import Float, Int

Points = Float[np.ndarray, " n"]
"""A number of each thing."""
FEWEST = 3
"""Things below which a correlation means nothing: two points always lie on a line."""
EVERY = 10
"""Things up to which a p is made of all their orders."""
_TOGETHER = 256
"""Numbers whose orders are counted at once."""


@dataclass(frozen=True)
class Correlation:
    """Pearson's r, Spearman's ρ, and r² (which is R² of the least-squares line)."""

    pearson: float
    spearman: float

    @property
    def r2(self) -> float:
        """The share of the variance of one that a line in the other explains, in [0, 1]."""
        return self.pearson**2


def correlate(
    x: Points, y: Points, names: tuple[str, str], of: str
) -> tuple[Correlation | None, str | None]:
    """Both coefficients, in [−1, 1], or why there are none: too few points, or no variance.

    `names` are those of x and y, and `of` that of the things, for the reason: `domains`.
    """
    from scipy import stats  # half a second, and a run needs it late

    if len(x) < FEWEST:
        return None, f"{len(x)} {of}; a correlation needs {FEWEST}"
    for name, values in zip(names, (x, y), strict=True):
        if np.ptp(values) <= 1e-12 * np.abs(values).max():  # what differs is rounding
            return None, f"the {name} is {values[0]:.3g} in all {len(x)} {of}"
    pearson = float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))
    ranks = stats.rankdata(x), stats.rankdata(y)
    return Correlation(pearson, float(np.clip(np.corrcoef(*ranks)[0, 1], -1, 1))), None


def permutation_p(x: Points, y: Points, most: int, seed: int) -> float:
    """Two-sided p of Pearson's r: the share of orders of x in which |r| is as large, or larger.

    All n! orders where n is at most 10 (3,628,800), which needs no draw; else `most` drawn ones,
    and the order at hand. Orders that give the |r| at hand within rounding
    (1e-12 of what |r| = 1 would be) count as equal to it. In (0, 1]. Of ranks: p of Spearman's ρ.
    """
    return float(permutation_ps(x, y[None], most, seed)[0])


def permutation_ps(
    x: Points, ys: Float[np.ndarray, "m n"], most: int, seed: int, every: int = EVERY
) -> Float[np.ndarray, " m"]:
    """`permutation_p` of x with each row of `ys`, in the same orders; all orders up to `every`."""
    a, b = x - x.mean(), ys - ys.mean(axis=1, keepdims=True)
    # Of all orders of x, r is this product but for a constant factor.
    limits = np.abs(b @ a) - 1e-12 * np.linalg.norm(a) * np.linalg.norm(b, axis=1)
    exact = len(x) <= every
    found = np.zeros(len(ys), dtype=np.int64)
    for orders in _orders(len(x)) if exact else _drawn(len(x), most, seed):
        for start in range(0, len(ys), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            found[some] += (np.abs(a[orders] @ b[some].T) >= limits[some]).sum(0)
    return found / math.factorial(len(x)) if exact else (1 + found) / (1 + most)


def least_p(n: int, most: int, every: int = EVERY) -> float:
    """The smallest p that `permutation_p` can come to for n things."""
    return 1 / math.factorial(n) if n <= every else 1 / (1 + most)


def _orders(n: int) -> Iterator[Int[np.ndarray, "orders n"]]:
    """All orders of n things, in blocks that share their first ones, 5,040 orders at most."""
    inner = np.array(list(permutations(range(min(n, 7)))))
    for head in permutations(range(n), n - min(n, 7)):
        rest = np.array([i for i in range(n) if i not in head])
        yield np.column_stack([np.tile(head, (len(inner), 1)).astype(np.int64), rest[inner]])


def _drawn(n: int, most: int, seed: int) -> Iterator[Int[np.ndarray, "orders n"]]:
    """`most` random orders, in blocks."""
    rng = np.random.default_rng(seed)
    for start in range(0, most, 5040):
        count = min(5040, most - start)
        yield np.array([rng.permutation(n) for _ in range(count)])
