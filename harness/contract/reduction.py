"""Reductions: passes over activations. Statistics and direction finders are reductions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from harness.contract.backend import ModelFacts
from harness.contract.options import Options
from harness.contract.sae import Sae, SaeFacts
from harness.contract.sites import Site
from harness.contract.values import Axes, Direction, Outcome, Undefined

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int
    from torch import Tensor

    from harness.contract.latents import Latents


@dataclass(frozen=True)
class Where:
    """Which tokens of a stream count. All conditions must hold; each is looked at in float32.

    The first two take tokens out of everything; the others choose the `selected` ones, for which
    latents exist, among those that are left.
    """

    skip_first: int = 0
    """Tokens at the beginning of each document that are left out."""
    max_norm_ratio: float | None = None
    """Longest activation, on either side, as a multiple of the median of its document there."""
    cosine_below: float | None = None
    """cos(x_left, x_right) is smaller."""
    cosine_above: float | None = None
    """cos(x_left, x_right) is at least this."""
    site: Site | None = None
    """Where all but the first condition look."""

    @property
    def selects(self) -> bool:
        """Whether it chooses among the measured tokens."""
        return self.cosine_below is not None or self.cosine_above is not None


@dataclass(frozen=True)
class Stream:
    """A set of token activations that a reduction reads: a view of some data, or a pair of views.

    Both sides of a pair read identical token ids, rendered once by `render`; with `align = "span"`
    each side renders its own prompt, and the measured span (a query after its own context) is the
    same ids on both. `tokens` is `all` (every token but BOS, EOS, padding and position 0) or
    `last` (the last prompt token).
    """

    name: str
    view: str
    data: str
    right: str | None = None
    tokens: Literal["all", "last"] = "all"
    where: Where = Where()
    align: Literal["tokens", "span"] = "tokens"
    pack: int | None = None
    """Documents are read side by side in rows of so many tokens; None reads a document a row."""
    budget: int | None = None
    """Stop after the document in which so many tokens were read."""
    render: Literal["left", "right"] = "left"
    """Whose prompt both sides read."""
    same_tokenizer: bool = True
    """Whether a side with another tokenizer than the one that renders is an error."""


@dataclass(frozen=True)
class Reads:
    """What a reduction needs of a pass."""

    streams: tuple[Stream, ...] = ()
    sites: tuple[Site, ...] = ()
    saes: tuple[str, ...] = ()
    logits: bool = False
    """Whether it needs next-token logits: then the models run to their end."""
    start: tuple[str, ...] = ()
    """Directions that `start` needs: they must come from an earlier pass."""
    finish: tuple[str, ...] = ()
    """Directions that `finish` needs: they may come from the same pass."""


@runtime_checkable
class TaskView(Protocol):
    """What `reads` may ask of the task around it."""

    def sae_site(self, sae: str) -> Site:
        """The site whose activations the SAE encodes."""

    def sae_facts(self, sae: str) -> SaeFacts:
        """What is known of an SAE before it is loaded."""

    def direction(self, name: str) -> DirectionOptions:
        """The options of a direction of the task."""

    def pair(self, name: str) -> Stream:
        """The stream of a pair, called `pair`, with its filters."""


class ReductionOptions(Options):
    """Options of a reduction that says itself what it reads."""

    finish_only: ClassVar[frozenset[str]] = frozenset()
    """Options that `finish` alone reads: a sweep over them shares one pass and one state."""

    def reads(self, task: TaskView) -> Reads:
        """What the pass must provide."""
        return Reads()


class StatisticOptions(ReductionOptions):
    """Options of a statistic: a reduction that yields records, tables and arrays.

    Where its data have a `by`, it is finished once for each category too.
    """


class DirectionOptions(ReductionOptions):
    """Options of a direction finder: a reduction that yields directions."""

    def variants(self) -> Sequence[Axes]:
        """The axes of each direction that will come out: one without axes unless it says so."""
        return ({},)


@runtime_checkable
class Side(Protocol):
    """One side of a batch: the activations of all measured tokens of one view."""

    def x(self, site: Site) -> Float[Tensor, "tokens d_site"]:
        """Activations at a site, float32."""

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """Latents of the selected tokens; encoded once, whoever asks.

        `site` encodes what is there instead of at the SAE's own site.
        """

    def reconstruction(self, sae: str, site: Site | None = None) -> Float[Tensor, "selected d"]:
        """x̂ of the selected tokens; decoded once, whoever asks."""

    def logits(self) -> Float[Tensor, "tokens vocab"]:
        """Next-token logits of all measured tokens, float32; only where `Reads.logits` asked."""

    def encode(self, sae: str, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Latents of other activations, such as edited ones; made anew at every call."""

    def decode(self, sae: str, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """x̂ of other latents; made anew at every call."""


@dataclass(frozen=True)
class Batch:
    """Tokens of some documents of one stream. Its own indices are on the CPU, whatever the sides
    are on."""

    stream: str
    documents: tuple[str, ...]
    document: Int[Tensor, " tokens"]
    """For each token, the index of its document in `documents`."""
    selected: Int[Tensor, " selected"]
    """The tokens that passed the stream's filters: rows of `x`, all rows without filters."""
    left: Side
    right: Side | None = None
    ids: Int[Tensor, " tokens"] = field(kw_only=True)
    """Token ids, the same on both sides."""
    position: Int[Tensor, " tokens"] = field(kw_only=True)
    """For each token, its place in its document."""


State = dict[str, "np.ndarray"]
"""Named float64 or int64 arrays on the CPU: savable, mergeable, resumable."""


@dataclass(frozen=True)
class Inputs:
    """What a reduction is given beside its batches."""

    directions: Mapping[str, Direction | Undefined] = field(default_factory=dict)
    saes: Mapping[str, Sae] = field(default_factory=dict)
    sae_sites: Mapping[str, Site] = field(default_factory=dict)
    """Per SAE, the site whose activations it encodes, as the task puts it."""
    facts: Mapping[str, ModelFacts] = field(default_factory=dict)
    """Per view, the facts of its model."""
    seed: int = 0


@runtime_checkable
class Reduction(Protocol):
    """A pass over activations that streams, merges and resumes. A direction finder is one.

    Built as `Class(options)`. Laws: `merge` is associative and commutative; any split of the
    documents into batches and states gives the same `finish`; inputs are not modified.
    """

    def start(self, inputs: Inputs) -> State:
        """The state before any batch."""

    def update(self, state: State, batch: Batch) -> State:
        """The state after one more batch."""

    def merge(self, left: State, right: State) -> State:
        """One state from two that saw different documents."""

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Records, tables and directions."""
