"""How many dimensions activations really use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from lantern_harness.options import EffectiveDimensionsOptions


class EffectiveDimensions:
    """The participation ratio `(tr S)² / tr(S²)` of `S = Σ_t x_t x_tᵀ` over the selected tokens t.

    Unit: dimensions, 1 to d. Undefined without tokens, or where all activations are 0. S is a
    total, so the number is of the data alone.
    """

    values: tuple[MetricValue, ...] = (
        MetricValue(
            "effective_dimensions@1",
            "dimensions",
            "tokens",
            "no token was measured, or all activations are 0",
            no_interval="made of one matrix over all tokens",
        ),
    )

    def __init__(self, options: EffectiveDimensionsOptions, target: Target) -> None:
        self.site = target.site

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Tensor]:
        """The matrix of the whole batch, and tokens by document."""
        x = side.x(self.site)[batch.selected].double()
        document = batch.document[batch.selected]
        n = torch.bincount(document, minlength=len(batch.documents)).double()
        return {"n": n, "total.second": (x.T @ x)[None]}

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """From the matrix alone: one number, not one for each draw."""
        second = sums["total.second"]
        square = np.square(second).sum((1, 2))
        return [np.trace(second, axis1=1, axis2=2) ** 2 / np.where(square > 0, square, np.nan)]
