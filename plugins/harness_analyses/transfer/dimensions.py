"""Which dimensions shift: pure functions of moments."""

from __future__ import annotations

from collections.abc import Mapping
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


def paper_code(
    base: Float[np.ndarray, "rows d"],
    context: Float[np.ndarray, "rows d"],
    domains: Mapping[str, Float[np.ndarray, "rows d"]],
    *,
    top: int = 100,
    rows: int = 10_000,
) -> tuple[Int[np.ndarray, " top"], dict[str, float]]:
    """What the paper's published notebook computes, on stored latents: dimensions, and scores.

    Dimensions: the `top` largest of Σ_i (context_ij − base_ij)² over the first `rows` rows, row i
    of one run against row i of the other, whatever tokens they are. Score of a domain: the mean of
    h_ij² over its first `rows` rows and those dimensions. Rows that are not aligned make this a
    choice by variance; it is here to reproduce, and `sts` is what to use.
    ValueError where the two runs have different shapes. Ties go by index, as the notebook's need
    not. Source: PKU-ML/STS, iclr26_metric.ipynb.
    """
    left, right = base[:rows].astype(np.float64), context[:rows].astype(np.float64)
    if left.shape != right.shape:
        raise ValueError(f"runs of {left.shape} and {right.shape} numbers do not pair by row")
    order = np.argsort(-np.square(right - left).sum(0), kind="stable")[:top]
    scores = {
        name: float(np.square(h[:rows][:, order].astype(np.float64)).mean())
        for name, h in domains.items()
    }
    return order, scores
