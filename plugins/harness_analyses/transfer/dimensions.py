"""Which dimensions shift: pure functions of moments."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from harness_analyses.transfer.moments import Moments

Mode = Literal["aligned", "pooled"]


def change(moments: Moments, mode: Mode) -> Float[np.ndarray, " d"]:
    """How much each dimension changes, in squared units of the activation, in [0, ∞).

    aligned: E (r_j − l_j)² over tokens that are the same on both sides (the paper's equation);
    pooled: (E r_j − E l_j)², which needs no pairs of tokens. KeyError for moments of one side;
    NaN without tokens.
    """
    if mode == "aligned":
        return moments.mean("change_square")
    difference: np.ndarray = moments.mean("right_sum") - moments.mean("left_sum")
    return difference**2


def ranked(change: Float[np.ndarray, " d"], first: int, end: int) -> Int[np.ndarray, " m"]:
    """The dimensions of ranks first ≤ rank < end, largest change first, ties by index.

    Only dimensions that changed have a rank, so there may be fewer than end − first.
    """
    order = np.argsort(-change, kind="stable")
    return order[change[order] > 0][first:end]


def overlap(left: Int[np.ndarray, " m"], right: Int[np.ndarray, " m"], size: int) -> float:
    """|left ∩ right| / size, in [0, 1]."""
    return len(np.intersect1d(left, right)) / size


def concentration(change: Float[np.ndarray, " d"], dimensions: Int[np.ndarray, " m"]) -> float:
    """The share of all change that some dimensions have, in [0, 1]; NaN where nothing changed."""
    total = change.sum()
    return float(change[dimensions].sum() / total) if total > 0 else float("nan")
