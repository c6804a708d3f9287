"""Chances of a number of successes, without `scipy.stats`, whose import takes half a second."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import special

_FEW = 100
"""Tries up to which powers do not fall below the smallest number: products are exact to the last
digits, and for halves and quarters to the very last."""


def chances(n: int, p: float) -> Float[np.ndarray, " n+1"]:
    """The chance of each number of successes from 0 to n, in n tries that succeed with p.

    `C(n, k) p^k (1 − p)^(n − k)`, of many tries by logarithms; 0 < p < 1.
    """
    k = np.arange(n + 1)
    found: Float[np.ndarray, " n+1"]
    if n <= _FEW:
        found = special.binom(n, k) * p**k * (1 - p) ** (n - k)
        return found
    ways = -special.betaln(n - k + 1, k + 1) - np.log(n + 1)
    found = np.exp(ways + special.xlogy(k, p) + special.xlog1py(n - k, -p))
    return found


def at_most(k: int, n: int, p: float) -> float:
    """The chance of k successes or fewer, 0 ≤ k ≤ n."""
    return float(special.betainc(n - k, k + 1, 1 - p)) if k < n else 1.0
