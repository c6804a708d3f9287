"""A ridge regression from mean activations to change, cross-validated by domain: a baseline."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

Target = Float[np.ndarray, " n"]
Products = Float[np.ndarray, "n n"]
Rows = Int[np.ndarray, " m"]
_GRID = 10.0 ** np.arange(-3, 4)
"""Penalties that are tried, as multiples of the features' mean squared length."""
FEWEST = 5


def predictions(features: Float[np.ndarray, "n d"], target: Target) -> Target:
    """Predicts each domain by a ridge regression fitted on the others, less the others' mean.

    Features are centred on those others; the penalty is the one of a grid with the smallest
    leave-one-out error among them. The mean itself is left out: it is the lower the higher the
    domain's own target is, so a probe that knows nothing would correlate with −1. This one predicts
    0 everywhere then, and its correlation does not exist.
    ValueError for fewer than 5 domains. Source: SAE as a Crystal Ball, appendix C.8, which does not
    say how its probe was made.
    """
    n = len(target)
    if n < FEWEST:
        raise ValueError(f"{n} domains; the probe needs {FEWEST}")
    products = features @ features.T
    out = np.empty(n)
    for i in range(n):
        others = np.delete(np.arange(n), i)
        best = _best(products, target, others)
        out[i] = _fitted(products, target, others, i, best) - target[others].mean()
    return out


def _best(products: Products, target: Target, rows: Rows) -> float:
    def error(penalty: float) -> float:
        guesses = [_fitted(products, target, rows[rows != i], i, penalty) for i in rows]
        return float(np.square(np.array(guesses) - target[rows]).sum())

    return float(min(_GRID, key=error))


def _fitted(products: Products, target: Target, rows: Rows, asked: int, penalty: float) -> float:
    """The ridge regression of some rows at another one, from inner products alone."""
    inside = products[np.ix_(rows, rows)]
    mean = inside.mean(0)
    centred = inside - mean[:, None] - mean[None, :] + mean.mean()
    toward = products[asked, rows] - products[asked, rows].mean() - mean + mean.mean()
    scale = float(np.trace(centred)) / len(rows) or 1.0
    level = target[rows].mean()
    solved = np.linalg.solve(centred + penalty * scale * np.eye(len(rows)), target[rows] - level)
    return float(level + toward @ solved)
