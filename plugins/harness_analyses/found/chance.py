"""Ranks, and what chance gives: pure functions of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import expm1, log1p, prod

import numpy as np
from jaxtyping import Float


def best_rank(planted: Float[np.ndarray, " m"], others: Float[np.ndarray, " n"]) -> int:
    """1 + how many others score at least as high as the best of what was planted.

    A tie counts against the method: what it does not tell apart it has not found.
    """
    return 1 + int(np.count_nonzero(others >= planted.max()))


def chance_of_rank(rank: int, planted: int, candidates: int) -> float:
    """p: how likely the best of `planted` among `candidates` in random order has this rank or a
    better one. `1 − C(N − r, m) / C(N, m)`, with N candidates in all, m of them planted, rank r."""
    return chance_of_all([rank], [planted], [candidates])


def chance_of_all(ranks: Sequence[int], planted: Sequence[int], candidates: Sequence[int]) -> float:
    """How likely independent random orders all have these ranks or better ones: the product."""
    return prod(
        1 - prod(max(0, n - r - one) / (n - one) for one in range(m))
        for r, m, n in zip(ranks, planted, candidates, strict=True)
    )


def usual_rank(planted: int, candidates: int) -> float:
    """The expected rank of the best of `planted` in random order: (N + 1) / (m + 1)."""
    return (candidates + 1) / (planted + 1)


def usual_worst(planted: Sequence[int], candidates: Sequence[int]) -> int:
    """The median of the worst of several such ranks: the smallest r that all reach in half of all
    random orders."""
    low, high = 1, max(candidates)
    while low < high:
        middle = (low + high) // 2
        reached = [min(middle, n) for n in candidates]
        if chance_of_all(reached, planted, candidates) >= 0.5:
            high = middle
        else:
            low = middle + 1
    return low


def best_of(p: float, tries: int) -> float:
    """How likely the smallest of so many independent p is this small: 1 − (1 − p)^tries."""
    return 1.0 if p >= 1 else -expm1(tries * log1p(-p))


def permutation_p(own: float, others: Sequence[float]) -> float:
    """The share of truths, the own one among them, that come out at least as well: from 1 / (1 + J)
    with J others to 1."""
    return (1 + sum(one <= own for one in others)) / (1 + len(others))
