"""A metric, the mean square of activations: the twin, and four that are wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from seeded_bugs.options import SpreadOptions


class Spread:
    """Σ ‖x‖² / (n d) over the selected tokens."""

    values: tuple[MetricValue, ...] = (
        MetricValue("spread@1", "squared", "tokens", "no token was measured"),
    )

    def __init__(self, options: SpreadOptions, target: Target) -> None:
        self.site = target.site

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Tensor]:
        rows = self.rows(batch, side).double()
        document = batch.document[self.tokens(batch)]
        zeros = torch.zeros(len(batch.documents), dtype=torch.float64)
        n = torch.zeros_like(zeros).index_add(0, document, torch.ones(len(rows), dtype=zeros.dtype))
        return {"n": n, "square": zeros.index_add(0, document, rows.square().mean(1))}

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        return [sums["square"] / np.where(sums["n"] > 0, sums["n"], np.nan)]

    def tokens(self, batch: Batch) -> Tensor:
        return batch.selected

    def rows(self, batch: Batch, side: Side) -> Tensor:
        return side.x(self.site)[self.tokens(batch)]


class BatchMean(Spread):
    """The bug: the mean of the batch is taken off."""

    def rows(self, batch: Batch, side: Side) -> Tensor:
        rows = super().rows(batch, side)
        return rows - rows.mean(0) if len(rows) else rows


class WritesInput(Spread):
    """The bug: the activations that all share are centred in place, and put back only nearly."""

    def rows(self, batch: Batch, side: Side) -> Tensor:
        x = side.x(self.site)
        found = super().rows(batch, side).clone()
        x.mul_(0.999)
        return found


class ReadsUnselected(Spread):
    """The bug: every measured token counts."""

    def tokens(self, batch: Batch) -> Tensor:
        return torch.arange(len(batch.document))


class Noise(Spread):
    """The bug: noise of 1e-5 on each number."""

    def rows(self, batch: Batch, side: Side) -> Tensor:
        rows = super().rows(batch, side)
        return rows + 1e-5 * torch.from_numpy(np.random.default_rng().normal(size=rows.shape))
