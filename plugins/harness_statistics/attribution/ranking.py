"""Latents ranked by what they add to a change, with intervals and beside other rankings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy import special, stats

from harness.contract import State
from harness.contract.attributed import leading
from harness.results.numbers import MIN_CLUSTERS


@dataclass(frozen=True)
class Ranking:
    """A_j of every latent, a mean over documents; `order` are those that push M where it went."""

    sign: float
    """+1 where the activations raise M from left to right, −1 where they lower it."""
    mean: Float64[np.ndarray, " d_sae"]
    half: Float64[np.ndarray, " d_sae"]
    """Half the width of its 95% interval; NaN with too few documents."""
    moved: Float64[np.ndarray, " d_sae"]
    """Mean over documents of Σ_t |Δz_tj|."""
    order: Int64[np.ndarray, " n"]

    def top(self, k: int) -> float | None:
        """Σ A_j of the first k; None where fewer push that way."""
        return float(self.mean[self.order[:k]].sum()) if len(self.order) >= k else None


def ranking(state: State, documents: float, clusters: int, up: float) -> Ranking:
    """Ranks the latents, ties by index.

    The interval is Student's, of a ratio of sums over clusters: SE² = C/(C−1) · Σ_c (A_c − n_c
    Ā)² / N² with C different documents of N. Source: Cochran, Sampling Techniques, 1977, ch. 11.
    """
    sign = 1.0 if up >= 0 else -1.0
    mean = state["sum"] / documents
    spread = state["square"] - 2 * mean * state["cross"] + mean**2 * state["sizes"][0]
    spread = np.where(spread > 1e-14 * state["square"], spread, 0.0)
    if clusters >= MIN_CLUSTERS:
        t = float(special.stdtrit(clusters - 1, 0.975))
        half = t * np.sqrt(spread * clusters / (clusters - 1)) / documents
    else:
        half = np.full_like(mean, np.nan)
    return Ranking(sign, mean, half, state["moved"] / documents, leading(sign * mean))


def shuffled_tops(state: State, documents: float, sign: float, k: int) -> list[float]:
    """The same sum of the first k for each shuffle, each ranked by itself."""
    found = []
    for row in state["null"]:
        pushed = sign * row / documents
        found.append(sign * float(pushed[leading(pushed)[:k]].sum()))
    return found


def agreement(one: Float64[np.ndarray, " n"], other: Float64[np.ndarray, " n"]) -> float | None:
    """Spearman's rank correlation; None with fewer than three, or where one of them is constant."""
    if len(one) < 3 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(stats.spearmanr(one, other).statistic)
