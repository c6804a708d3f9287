"""Metrics: numbers about one site, with or without an SAE, that are made of sums over documents.

A metric says how to sum (`Metric.sums`) and what the number is (`Metric.value`). The core reads
the pair or view that the task names, filters tokens, adds up over batches in float64, and makes
95% intervals: it adds up the sums of all documents, of all but some, of some alone and of documents
drawn with replacement, and calls `value` on all these *draws* at once (docs/statistics.md).

A number need not be a ratio of sums. What else is made of them, from documents in any order:

- of **second moments**: Σ x yᵀ is a sum, too large for every draw: call it `total.…`, and make the
  number of it. For an interval add a small sketch of the same moments to the sums by document (some
  numbers uᵀx · yᵀv for fixed random u and v), also as a `total.…`, and let `value` move the number
  by how far each draw's sketch is from the total one. `cka` does so.
- of **which things were seen**: counts by latent are a `total.…`. Drawing documents again only ever
  loses some that were seen, so there is no interval, and `no_interval` says why. `dead_share`.
- **quantiles**: a histogram for each document, with bins that are fixed beforehand, adds up; its
  bins are as wide as the error that the docstring states. `activation_norm`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from harness.contract.encodes import Encodes
from harness.contract.options import Options

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float
    from torch import Tensor

    from harness.contract.reduction import Batch, Side
    from harness.contract.sites import Site


@dataclass(frozen=True)
class MetricValue:
    """What the record of one number of a metric says beside the number."""

    id: str
    """The record's id: `name.variant@version`."""
    unit: str
    """Its unit: `ratio`, `share`, `nats`, …"""
    n_of: str
    """What the sum `n` counts: `tokens`, …"""
    undefined: str
    """The reason that is given where `value` gives NaN."""
    null: Mapping[str, Any] | None = None
    """What the number is where both sides are the same model, such as
    `{"kind": "identical", "value": 1.0}`; None where that is not known."""
    no_interval: str | None = None
    """Why it has no interval: needed where it is made of sums called `total.…`."""
    unselected: bool = False
    """Whether it reads measured tokens that are not selected, as a scale over all tokens does. A
    number that does not say so must not change with them."""


@dataclass(frozen=True)
class Target:
    """Where one metric object measures. The core builds one object for each target."""

    site: Site
    """The site, or the one that the SAE reads."""
    sae: str | None = None
    """The SAE, by its name in the task; None where the metric needs none."""
    out: Site | None = None
    """Where a transcoder writes; None for an SAE that reconstructs what it reads."""

    @property
    def compared(self) -> Site:
        """The site whose activations a reconstruction is compared with: `out`, or else `site`."""
        return self.out or self.site


class MetricOptions(Options):
    """Base of a metric's options. The class variables tell the core what to measure."""

    paired: ClassVar[bool] = True
    """Whether a number compares both sides of a pair. Otherwise each side has its own number, and
    a view that is in no pair can be measured, too."""
    on_sae: ClassVar[bool] = True
    """Whether it is measured once for each SAE. Otherwise once for each site."""
    on_logits: ClassVar[bool] = False
    """Whether it reads next-token logits instead: it is then measured once for each stream."""
    latents_alone: ClassVar[bool] = False
    """Whether it reads nothing but the latents of an SAE. An SAE of a pair has one set of latents
    for both sides: such a metric is then measured once, any other one on each side."""

    def keeps(self, width: int, latents: int) -> int:
        """About how many numbers the sums of one document are, at a site of `width` numbers and an
        SAE of so many `latents`: a plan reckons from it what travels between processes. A sum with
        a number for each bin, dimension or latent is what counts; a few more or less do not."""
        return 4

    def encodes(self) -> Encodes:
        """What the SAE of its target encodes of each selected token: by default each side that is
        measured once where `on_sae`, nothing otherwise. A plan counts with it."""
        return Encodes() if self.on_sae else Encodes(())

    def rebuilds(self) -> bool:
        """Whether it reads what the SAE of its target reconstructs (`Side.reconstruction`). It is
        then not measured on an SAE whose latents are but a part of what is written
        (`SaeFacts.partial`); a metric that does not say so is stopped when it asks."""
        return False


@runtime_checkable
class Metric(Protocol):
    """One or more numbers, as two pure functions. Built as `Class(options, target)`."""

    values: tuple[MetricValue, ...]
    """The numbers that `value` computes."""

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """For each document of the batch, sums over its tokens, by name. Called for every batch.

        One sum must be called `n`, `[documents]`: the number of things measured. Where one of the
        `values` counts other things, `n.<id>` counts for it. A sum too large to be kept for every
        document, as one number for each latent is, has a name that begins with `total.` and one
        row for the whole batch, `[1, ...]`; it is not drawn.

        `side` is the side to measure; a paired metric reads `batch.left` and `batch.right`. For a
        batch without measured tokens all sums are 0.
        """

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """The numbers, one array for each of `values`, from sums over all documents.

        Each sum is float64 `[draws, ...]`, the first entry of all documents, the others of some
        of them (`total.…` sums have one entry); each number is `[draws]`, and NaN in draws where it
        is undefined.
        """
