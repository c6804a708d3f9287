"""Metrics of every shape: of one side or of both, with an SAE or without."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fakes.lab import LAB
from harness.contract import (
    Batch,
    MetricOptions,
    MetricValue,
    Side,
    Target,
)


class _Measure(ABC):
    """A mean over tokens of one number per token."""

    def __init__(self, options: MetricOptions, target: Target) -> None:
        self.options, self.target = options, target
        name = type(self).__name__.lower()
        self.values = (MetricValue(f"{name}.mean@1", "units", "tokens", "no token was measured"),)

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Tensor]:
        LAB.batches.append((self, batch))
        each = self.each(batch, side).double()
        zeros = torch.zeros(len(batch.documents), dtype=torch.float64)
        document = batch.document[batch.selected]
        return {
            "n": zeros.index_add(0, document, torch.ones_like(each)),
            "total": zeros.index_add(0, document, each),
        }

    @abstractmethod
    def each(self, batch: Batch, side: Side) -> Tensor:
        """A number for each selected token."""

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return [sums["total"] / sums["n"]]


class BareOneSided(MetricOptions):
    """Options of `mean`."""

    paired: ClassVar[bool] = False
    on_sae: ClassVar[bool] = False


class BarePaired(MetricOptions):
    """Options of `gap`."""

    on_sae: ClassVar[bool] = False
    power: int = 1
    """Read by nobody."""


class SaeOneSided(MetricOptions):
    """Options of `loss` and `active`."""

    paired: ClassVar[bool] = False


class SaePaired(MetricOptions):
    """Options of `match`."""


class LogitsOneSided(MetricOptions):
    """Options of `surprise`."""

    paired: ClassVar[bool] = False
    on_sae: ClassVar[bool] = False
    on_logits: ClassVar[bool] = True


class LogitsPaired(MetricOptions):
    """Options of `turn`."""

    on_sae: ClassVar[bool] = False
    on_logits: ClassVar[bool] = True


class Demanding(SaeOneSided):
    """Options of `demanding`: one that has no default."""

    level: int
    """Read by nobody."""


class Mean(_Measure):
    """Sum of the channels."""

    def each(self, batch: Batch, side: Side) -> Tensor:
        return side.x(self.target.site)[batch.selected].sum(1)


class Gap(_Measure):
    """Distance of both sides."""

    def each(self, batch: Batch, side: Side) -> Tensor:
        assert batch.right is not None
        site = self.target.site
        return (batch.right.x(site) - batch.left.x(site)).abs().sum(1)[batch.selected]


class Loss(_Measure):
    """Share of the squared activation that the SAE misses, by token."""

    def each(self, batch: Batch, side: Side) -> Tensor:
        assert self.target.sae is not None
        x = side.x(self.target.compared)[batch.selected]
        missed = x - side.reconstruction(self.target.sae, self.target.site)
        return missed.square().sum(1) / x.square().sum(1)


class Active(_Measure):
    """Active latents."""

    def each(self, batch: Batch, side: Side) -> Tensor:
        assert self.target.sae is not None
        return side.latents(self.target.sae, self.target.site).counts


class Match(_Measure):
    """Difference of the numbers of active latents."""

    def each(self, batch: Batch, side: Side) -> Tensor:
        assert batch.right is not None
        assert self.target.sae is not None
        left, right = (s.latents(self.target.sae).counts for s in (batch.left, batch.right))
        return left - right


class Surprise(_Measure):
    """Sum of the logits."""

    def each(self, batch: Batch, side: Side) -> Tensor:
        return side.logits()[batch.selected].sum(1)


class Turn(_Measure):
    """Distance of the logits of both sides."""

    def each(self, batch: Batch, side: Side) -> Tensor:
        assert batch.right is not None
        return (batch.right.logits() - batch.left.logits()).abs().sum(1)[batch.selected]
