"""Flips and shifts summed over clusters: formulas over arrays `[d_sae]`, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

Values = Mapping[str, np.ndarray]
"""The arrays of `feature_shift` by name."""
Counts = Int[np.ndarray, " d_sae"]
SUPPORT = 10
"""Active tokens that a feature needs to have a flip rate of its own."""


@dataclass(frozen=True)
class Number:
    """A number, or why there is none, with what it was counted over."""

    value: float | None
    n: int
    undefined: str | None = None


def ratio(top: float, bottom: float, n: int, undefined: str) -> Number:
    """`top / bottom`, undefined where the bottom is 0."""
    return Number(top / bottom, n) if bottom else Number(None, n, undefined)


def members(
    labels: Mapping[int, str], clusters: Sequence[str], width: int
) -> Int[np.ndarray, " m"]:
    """The features of some clusters, as far as the SAE has them."""
    return np.array(
        sorted(f for f, name in labels.items() if name in clusters and 0 <= f < width),
        dtype=np.int64,
    )


def flip_rate(flips: Counts, support: Counts, features: Int[np.ndarray, " m"]) -> Number:
    """Micro: Σ flips / Σ tokens on which a feature of the cluster is active before or after."""
    active = int(support[features].sum())
    why = "no feature of the cluster was ever active"
    return ratio(float(flips[features].sum()), active, active, why)


def flip_rate_macro(flips: Counts, support: Counts, features: Int[np.ndarray, " m"]) -> Number:
    """Macro: the mean of the features' own flip rates, of those with enough active tokens."""
    enough = features[support[features] >= SUPPORT]
    why = f"no feature of the cluster was active on {SUPPORT} tokens"
    rates = flips[enough] / support[enough]
    return ratio(float(rates.sum()), len(enough), len(enough), why)


def collateral(flips: Counts, labels: Mapping[int, str], task: Sequence[str]) -> Number:
    """The share of the labelled features' flips that happen outside the task's clusters."""
    everywhere = int(flips[members(labels, list(set(labels.values())), len(flips))].sum())
    inside = int(flips[members(labels, task, len(flips))].sum())
    return ratio(everywhere - inside, everywhere, everywhere, "no labelled feature flipped")


def shift_share(values: Values, features: Int[np.ndarray, " m"]) -> Number:
    """Σ |Δμ| of the cluster over Σ |Δμ| of all features of the SAE, labelled or not."""
    size = np.abs(values["delta"])
    why = "no feature of the SAE shifted"
    return ratio(float(size[features].sum()), float(size.sum()), len(features), why)


def shift_relative(values: Values, features: Int[np.ndarray, " m"]) -> Number:
    """The mean over the cluster of |Δμ| / max(|μ_left|, |μ_right|), of features that fire."""
    larger = np.maximum(np.abs(values["mean_left"]), np.abs(values["mean_right"]))[features]
    fire = larger > 0
    change = np.abs(values["delta"][features][fire]) / larger[fire]
    why = "no feature of the cluster was ever active"
    return ratio(float(change.sum()), int(fire.sum()), int(fire.sum()), why)


def most_shifted(values: Values, count: int) -> Int[np.ndarray, " n"]:
    """The features with the largest |Δμ|, ties by index; those that did not shift are left out."""
    size = np.abs(values["delta"])
    order = np.argsort(-size, kind="stable")[:count]
    return np.asarray(order[size[order] > 0])


def label_share(values: Values, labels: Mapping[int, str], task: Sequence[str], top: int) -> Number:
    """The share of the `top` most shifted features that are of the task's clusters."""
    chosen = most_shifted(values, top)
    hits = sum(labels.get(int(feature)) in task for feature in chosen)
    return ratio(hits, len(chosen), len(chosen), "no feature of the SAE shifted")


def label_recall(
    values: Values, labels: Mapping[int, str], task: Sequence[str], within: int
) -> Number:
    """The share of the features of the task's clusters that are among the most shifted."""
    wanted = members(labels, task, len(values["delta"]))
    hits = len(np.intersect1d(wanted, most_shifted(values, within)))
    return ratio(
        hits, len(wanted), len(wanted), "no feature is labelled with a cluster of the task"
    )
