"""Cohen's kappa of two people or judges who sort the same features into clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harness.results.replicates import interval, replicate_weights


@dataclass(frozen=True)
class Agreement:
    """κ with its interval, or why there is none."""

    value: float | None
    n: int
    """Features that both sorted."""
    ci: tuple[float, float] | None
    why: str | None


def kappa(left: Mapping[int, str], right: Mapping[int, str], seed: int) -> Agreement:
    """κ = (p_o − p_e) / (1 − p_e) over the features that both sorted.

    p_o is the share with the same cluster, p_e what margins alone would give. In [−1, 1]; 0 by
    chance. Undefined where there is no such feature, or where one side gives all the same cluster.
    The interval is by features. Source: Cohen 1960.
    """
    features = sorted(left.keys() & right.keys())
    if not features:
        return Agreement(None, 0, None, "no feature has a cluster from both")
    sides = [[labels[feature] for feature in features] for labels in (left, right)]
    if any(len(set(side)) == 1 for side in sides):
        constant = "one of them gives every feature the same cluster"
        return Agreement(None, len(features), None, constant)
    names = sorted({*sides[0], *sides[1]})
    one, other = (
        np.array([[label == name for name in names] for label in side], dtype=np.float64)
        for side in sides
    )
    weights = replicate_weights([str(feature) for feature in features], seed)
    values = _kappa(one, other, weights)
    ci, why = interval(values, len(features), "features")
    return Agreement(float(values[0]), len(features), ci, why)


def _kappa(
    left: Float[np.ndarray, "features clusters"],
    right: Float[np.ndarray, "features clusters"],
    weights: Float[np.ndarray, "replicates features"],
) -> Float[np.ndarray, " replicates"]:
    """Of each replicate; NaN where all that is left of a side is one cluster."""
    with np.errstate(invalid="ignore", divide="ignore"):
        total = weights.sum(1)
        observed = weights @ (left * right).sum(1) / total
        margins = weights @ left / total[:, None], weights @ right / total[:, None]
        chance = (margins[0] * margins[1]).sum(1)
        value = (observed - chance) / (1 - chance)
    constant = (margins[0].max(1) == 1) | (margins[1].max(1) == 1)
    out: Float[np.ndarray, " replicates"] = np.where(constant, np.nan, value)
    return out
