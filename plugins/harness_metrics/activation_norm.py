"""How long activations are: quantiles over tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness_metrics import documents, histogram
from harness_metrics.options import ActivationNormOptions

LOWEST, HIGHEST = math.log(1e-4), math.log(1e6)
"""The histogram of ln ‖x‖; what is beyond counts in the first and the last bin."""
WIDTH = 0.01
"""Width of its bins: a quantile is off by 1% at most."""
BINS = math.ceil((HIGHEST - LOWEST) / WIDTH)
_WHY = "no token was measured, or this quantile is not between 0.0001 and 1,000,000"


class ActivationNorm:
    """Takes quantiles of ‖x_t‖ over tokens, x: Float[Tensor, "tokens d"] at the site.

    `activation_norm.p50` is the median, `p99` what 1% of the tokens are above; `p01`, `p05`, `p25`,
    `p75` and `p95` likewise: the smallest length with at least that share of the tokens at or below
    it. From a histogram of ln ‖x‖ with bins of 0.01, so each is off by 1% of itself at most; far
    less than its interval, which is by documents. Attention sinks show as a p99 far above p95.

    Unit: activation, from 0. Undefined where nothing was measured, and beyond 10⁻⁴ and 10⁶, where
    the histogram ends. One-sided.

    Source: definition; numpy's `quantile` with `method="inverted_cdf"` up to the bins.
    """

    def __init__(self, options: ActivationNormOptions, target: Target) -> None:
        self._site = target.site
        self._shares = [int(name[1:]) / 100 for name in options.variants]
        self.values = tuple(
            MetricValue(f"activation_norm.{name}@1", "activation", "tokens", _WHY)
            for name in options.variants
        )

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Tokens of each document, and how many of them fall into each bin."""
        x = documents.selected(batch, side.x(self._site))
        places = (documents.squared_norm(x).log() / 2 - LOWEST) / WIDTH
        bins = places.clamp(0, BINS - 1).floor().to(torch.int64)
        return {"n": documents.counts(batch), "histogram": histogram.counts(batch, bins, BINS)}

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """Each quantile, from the place of it in the histogram."""
        places = [histogram.quantile(sums["histogram"], share) for share in self._shares]
        return [
            np.where((place > 1) & (place < BINS - 1), np.exp(LOWEST + WIDTH * place), np.nan)
            for place in places
        ]
