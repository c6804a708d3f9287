"""Intervals of numbers made of sums too wide for a bootstrap: groups of documents, left out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from harness.contract import Batch

WHY_NONE = "groups = 0: no sums are kept apart, of which an interval could be made"
FEWEST = 4
"""Groups with a document below which their scatter says too little."""


def group_of(batch: Batch, groups: int) -> Int[np.ndarray, " documents"]:
    """The group of each document, from its id alone: the same in every shard and process."""
    return np.array([_group(document, max(groups, 1)) for document in batch.documents], np.int64)


def left_out(
    value: Callable[[np.ndarray], float | None],
    filled: Float[np.ndarray, " groups"],
    ends: tuple[float, float],
) -> tuple[tuple[float, float] | None, str | None]:
    """The interval of a number that `value` makes of groups of documents, or why there is none.

    `value(kept)` gives it from the groups that `kept` marks; `filled` is how much each group has,
    0 where it has nothing. The delete-a-group jackknife: with G groups, θ of all and θ_(g) without
    one, `SE² = (G − 1)/G Σ_g (θ_(g) − θ̄)²`, and the interval is `θ ± t_{G−1} SE`, cut off at the
    ends that the number cannot pass. Source: Efron and Tibshirani 1993, chapter 11.
    """
    there = np.flatnonzero(filled)
    if len(filled) == 1:
        return None, WHY_NONE
    if len(there) < FEWEST:
        return None, f"documents fell into {len(there)} groups; an interval needs {FEWEST}"
    whole = value(filled > 0)
    without = []
    for group in there:
        kept = filled > 0
        kept[group] = False
        found = value(kept)
        if found is None:
            return None, "undefined without one of the groups of documents"
        without.append(found)
    if whole is None:
        return None, "undefined"
    spread = np.square(np.array(without) - np.mean(without)).sum()
    error = math.sqrt((len(there) - 1) / len(there) * spread)
    half = error * float(special.stdtrit(len(there) - 1, 0.975))
    return (max(ends[0], whole - half), min(ends[1], whole + half)), None


def _group(document: str, groups: int) -> int:
    digest = hashlib.sha256(document.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % groups
