"""Metrics: numbers made of sums over tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from harness.contract.options import Options
from harness.contract.reduction import Batch, Side
from harness.contract.sites import Site

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float
    from torch import Tensor


@dataclass(frozen=True)
class MetricValue:
    """One number that a metric computes; the identity card of its record."""

    id: str
    unit: str
    n_of: str
    undefined: str
    """Why the value does not exist when it comes out as NaN."""
    null: Mapping[str, Any] | None = None
    """What it is when both sides are the same model, e.g. {"kind": "identical", "value": 1.0}."""
    no_interval: str | None = None
    """Why it has no interval, where it is made of sums that are not drawn."""


@dataclass(frozen=True)
class Target:
    """Where a metric is measured: a site, and an SAE there."""

    site: Site
    sae: str | None = None
    out: Site | None = None
    """What the SAE reconstructs, where that is not what it reads: a transcoder's output."""

    @property
    def compared(self) -> Site:
        """The site whose activations a reconstruction is held against."""
        return self.out or self.site


class MetricOptions(Options):
    """Options of a metric: two pure functions over sums (see `Metric`)."""

    paired: ClassVar[bool] = True
    """Whether one number needs both sides of a pair; otherwise each side is measured."""
    on_sae: ClassVar[bool] = True
    """Whether it needs an SAE. One that does not is measured at every site, with or without one."""
    on_logits: ClassVar[bool] = False
    """Whether it reads next-token logits instead of a site: it is measured once for each stream."""


@runtime_checkable
class Metric(Protocol):
    """A number made of sums, as two pure functions; built as `Class(options, target)`.

    The core accumulates in float64 and makes intervals by a Poisson bootstrap over documents.
    """

    values: tuple[MetricValue, ...]

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Additive sums for each document of the batch; `n` (documents) counts what is measured.

        Where one value counts other things than the rest, a sum `n.<its id>` counts for it. Sums
        as wide as an SAE have names that begin with `total.` and one row for the whole batch: they
        are kept for the data alone, not for the draws, and reach `value` as one draw.
        `side` is the side to measure; a paired metric reads `batch.left` and `batch.right`.
        """

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """The numbers, in the order of `values`, from sums with a leading axis of draws.

        float64 `[draws, ...] -> [draws]`; NaN where undefined.
        """
