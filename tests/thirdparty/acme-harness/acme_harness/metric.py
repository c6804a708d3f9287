"""How lengths change between both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from acme_harness.options import LengthRatioOptions
from harness.contract import Batch, MetricValue, Side, Target


class LengthRatio:
    """Compares lengths: `Σ_t ‖r_t‖ / Σ_t ‖l_t‖` over the selected tokens, from 0; 1 if identical.

    Undefined where nothing was measured, or where the left side is 0.
    """

    values: tuple[MetricValue, ...] = (
        MetricValue(
            id="length_ratio@1",
            unit="ratio",
            n_of="tokens",
            undefined="no token was measured, or the left side is 0",
            null={"kind": "identical", "value": 1.0},
        ),
    )

    def __init__(self, options: LengthRatioOptions, target: Target) -> None:
        self.site = target.site

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Tensor]:
        """Lengths of both sides, added up for each document."""
        assert batch.right is not None
        lengths = [one.x(self.site).double().norm(dim=1) for one in (batch.left, batch.right)]
        document = batch.document[batch.selected].to(lengths[0].device)
        zeros = torch.zeros(len(batch.documents), dtype=torch.float64, device=document.device)
        left, right = (zeros.index_add(0, document, one[batch.selected]) for one in lengths)
        n = torch.bincount(document, minlength=len(batch.documents)).double()
        return {"n": n, "left": left, "right": right}

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """`right / left`."""
        return [sums["right"] / np.where(sums["left"] > 0, sums["left"], np.nan)]
