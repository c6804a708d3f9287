"""Reductions: passes over activations. Statistics and direction finders are reductions.

First the core asks the options which `Stream`s, sites and SAEs to read (`ReductionOptions.reads`).
Then it runs the models and hands the `Reduction` one `Batch` after another. Documents may be read
in any order, split over processes and saved in between, because all that a reduction remembers is
its `State`. At the end `finish` makes an outcome of it.

Tokens are **measured** or not: left out are BOS, EOS, padding, the tokens with which a chat
template ends a turn, the first token of a document, and what a filter takes out of everything. Of
the measured ones those are **selected** that pass the filters on the cosine of both sides; SAEs
encode the selected ones alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from harness.contract.encodes import Encodes
from harness.contract.options import Options

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, Int, Shaped
    from torch import Tensor

    from harness.contract.backend import ModelFacts
    from harness.contract.latents import Latents
    from harness.contract.paths import FollowedPath, GradientPath
    from harness.contract.sae import Sae, SaeFacts
    from harness.contract.sites import Site
    from harness.contract.stream_edit import StreamEdit
    from harness.contract.values import Axes, Direction, Outcome, Undefined


@dataclass(frozen=True)
class Where:
    """The filters of a stream. A token counts where all conditions hold, computed in float32.

    The first two decide which tokens are measured, those on the cosine which are selected.
    """

    skip_first: int = 0
    """So many tokens at the beginning of each document are not measured."""
    max_norm_ratio: float | None = None
    """Tokens are not measured whose ‖x‖, on either side, is more than so many times the median of
    their document on that side: attention sinks."""
    cosine_below: float | None = None
    """Tokens are selected whose cos(x_left, x_right) is below this; an undefined one is not."""
    cosine_above: float | None = None
    """Tokens are selected whose cos(x_left, x_right) is at least this."""
    cosine_quantile: float | None = None
    """The share of the measured tokens, of all data, that is selected: those with the lowest
    cos(x_left, x_right). How low that is, the core finds in a pass before."""
    least_apart: float | None = None
    """What `cosine_quantile` came to, written by the core: tokens are selected whose 1 − cos is at
    least this; infinite where none is."""
    site: Site | None = None
    """The site of the activations in all conditions but the first; None for the one where a
    metric is measured."""

    @property
    def selects(self) -> bool:
        """Whether some measured tokens may not be selected."""
        conditions = (self.cosine_below, self.cosine_above, self.cosine_quantile)
        return any(condition is not None for condition in conditions)


@dataclass(frozen=True)
class Stream:
    """What a reduction reads: one view of some data, or a pair of views of the same data."""

    name: str
    """How the reduction tells its streams apart: `Batch.stream` has the same name."""
    view: str
    """The view that is read, or the left one of a pair, by its name in the task."""
    data: str
    """The data, by their name in the task."""
    right: str | None = None
    """The right view of a pair; None for a stream of one view."""
    tokens: Literal["all", "last", "closing", "answer", "predicting"] = "all"
    """`all` measures every token but BOS, EOS, padding, ends of turns and the first one of a
    document; `last` the last token of the prompt alone, whatever it is. `closing` measures what
    the prompt writes after what is asked, whatever it is: the end of the user's turn, and the
    header of the answer. `answer` measures, of conversations that end with an answer, those tokens
    of it that `all` would. `predicting` measures the tokens before those of the answer, whatever
    they are: where the model says what the answer's tokens will be."""
    where: Where = Where()
    """Which of these count."""
    align: Literal["tokens", "span"] = "tokens"
    """How the sides of a pair line up. `tokens`: one prompt is written and both models read its
    ids. `span`: each side writes its own prompt, and what is measured is the query at its end
    (the last user turn's content, or the filled template, and what follows), which must have the
    same ids on both. A first token that one side's tokenizer has merged with what stands before is
    left out."""
    pack: int | None = None
    """Puts documents side by side into rows of so many tokens; None reads one document a row."""
    budget: int | None = None
    """Stops after the document in which so many tokens are reached; None reads all data."""
    render: Literal["left", "right"] = "left"
    """Which side of a pair writes the prompt that both read (`align = "tokens"`)."""
    same_tokenizer: bool = True
    """Whether it is an error that the other side has another tokenizer."""
    edit: StreamEdit | None = None
    """What the view is edited with while it reads; of a pair, the right view, so that one view can
    be compared with itself under an edit. None reads it as it is."""


@dataclass(frozen=True)
class Reads:
    """All that a reduction needs. What is not listed here, its batches and inputs do not have."""

    streams: tuple[Stream, ...] = ()
    """What it reads; none for a direction that is made without activations."""
    sites: tuple[Site, ...] = ()
    """Where: `Side.x` has these, on every stream. The sites of the SAEs need not be listed."""
    saes: tuple[str, ...] = ()
    """SAEs whose latents it reads, by their names in the task."""
    logits: bool = False
    """Whether it reads `Side.logits`. The models then run to their end, which costs more."""
    start: tuple[str, ...] = ()
    """Directions that `start` needs, to put into the state what `update` uses: they are found in
    an earlier pass."""
    finish: tuple[str, ...] = ()
    """Directions that `finish` alone needs: they may be found in the same pass."""
    paths: tuple[GradientPath, ...] = ()
    """Paths between both sides of its streams, which are then pairs that read the same tokens, one
    document a row; see `harness.contract.paths`. Each costs forwards and backwards of whole
    models."""
    words: tuple[str, ...] = ()
    """Words each of which must be one token of the first stream's model: others are refused, by
    name. `Inputs.words` has their ids."""


@runtime_checkable
class TaskView(Protocol):
    """What `ReductionOptions.reads` may ask about the rest of the task, by names in the task."""

    def sae_site(self, sae: str) -> Site:
        """The site whose activations an SAE encodes."""

    def sae_facts(self, sae: str) -> SaeFacts:
        """What is known of an SAE before it is loaded."""

    def direction(self, name: str) -> DirectionOptions:
        """The options of another direction, such as one that is to be rebuilt."""

    def pair(self, name: str) -> Stream:
        """A pair as a stream whose name is `pair`, with the pair's filters."""

    def view_facts(self, view: str) -> ModelFacts:
        """What is known of a view's model before it is loaded; nothing of a view that is not there,
        which the core reports."""


class ReductionOptions(Options):
    """Base of the options of statistics and direction finders."""

    finish_only: ClassVar[frozenset[str]] = frozenset()
    """Names of options that `Reduction.finish` alone uses. A sweep over one of them reads the
    data once and finishes the same state once for each value."""
    joined_saes: ClassVar[bool] = False
    """Whether it can use an SAE that reads both sides of a pair, or several sites, at once
    (`SaeFacts.inputs`). Otherwise `harness check` refuses one."""

    def reads(self, task: TaskView) -> Reads:
        """What the reduction needs. Called by every command that reads a task; imports no torch.

        TaskError where the options make no sense in this task; what is named and missing the core
        reports by itself.
        """
        return Reads()

    def keeps(self, width: int, latents: int) -> int:
        """About how many numbers its state has for one site of `width` numbers, or one SAE of so
        many `latents` (the other is then 0), in each stream: a plan reckons from it what travels
        between processes."""
        return 4 * (width or latents)

    def encodes(self, task: TaskView, stream: str, sae: str) -> Encodes:
        """What the SAE, one of its `Reads.saes`, encodes of the stream of this name: by default
        each token of each side once. A plan counts with it; a number does not depend on it."""
        return Encodes()


class StatisticOptions(ReductionOptions):
    """Base of a statistic's options. A statistic is a reduction whose outcome has no directions.

    Where the data have categories (`by`), it is finished for each category and for all together.
    """

    def foresee(self, task: Outlook) -> Iterable[str]:
        """What is known before the run to be left out or undefined, in whole sentences, for
        `harness check`: each says what, why, and what is allowed."""
        return ()

    def fewest_tokens(self) -> float:
        """Tokens of a stream below which all its records are undefined, so that `harness check`
        can say so; 0 where there is no such number."""
        return 0


class DirectionOptions(ReductionOptions):
    """Base of a direction finder's options. A finder is a reduction that gives directions."""

    own_readers: ClassVar[bool] = False
    """Whether its directions have `readers`, so that interventions which read with the vectors
    refuse them (`InterventionOptions.reads_vectors`); `harness check` says so."""

    def variants(self) -> Sequence[Axes]:
        """The axes of each direction that `finish` will give, defined or not, in any order.

        One direction without axes by default; the first three principal components are three, as
        `{"pc": 1}`, `{"pc": 2}`, `{"pc": 3}`. Called before anything runs, to plan their arms.
        """
        return ({},)

    def variants_in(self, task: TaskView) -> Sequence[Axes]:
        """The same, of a finder whose variants hang on the rest of the task, such as on how many
        blocks a model has: `variants()` by default. The core asks this one. Raises nothing: where
        the task does not tell, there are none, and `reads` says what is missing."""
        return self.variants()


@runtime_checkable
class Side(Protocol):
    """One side of a batch: what one view has at the measured tokens.

    SAEs are named as in the task. Tensors are on the device of the model and shared by all that
    read the batch: modify none.
    """

    def x(self, site: Site) -> Float[Tensor, "tokens d_site"]:
        """The activations of the measured tokens at a site, float32."""

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """The latents of the selected tokens, at the SAE's own site or at `site`.

        They are computed at the first call of any reduction and kept for the others. Those of an
        SAE of a pair are the same on both sides.
        """

    def reconstruction(self, sae: str, site: Site | None = None) -> Float[Tensor, "selected d"]:
        """x̂ of the selected tokens, from `latents`; kept likewise.

        Of an SAE of a pair it is this side's part; of one of differences, what the other side and
        the reconstructed difference make of this side. Of an SAE of several sites it is the part at
        `site`, one of them, or at the first. ModelError for an SAE that is `partial`.
        """

    def logits(self) -> Float[Tensor, "tokens vocab"]:
        """Next-token logits of the measured tokens, float32. Asked for in `Reads.logits` or
        `MetricOptions.on_logits`; ValueError otherwise."""

    def encode(self, sae: str, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """The latents of activations of your own, such as edited ones. Nothing is kept."""

    def decode(self, sae: str, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """x̂ of latents of your own. Nothing is kept."""


@dataclass(frozen=True)
class Batch:
    """The measured tokens of some whole documents of one stream.

    Its index tensors are int64 and on the CPU; what the sides give may be on another device.
    """

    stream: str
    """The name of the stream."""
    documents: tuple[str, ...]
    """The ids of the examples. A document may have no measured token."""
    document: Int[Tensor, " tokens"]
    """For each measured token, the index of its document in `documents`."""
    selected: Int[Tensor, " selected"]
    """The indices of the selected ones among the measured tokens: row i of `Side.latents` belongs
    to row `selected[i]` of `Side.x`. All of them where the stream has no such filter."""
    left: Side
    """The stream's view."""
    right: Side | None = None
    """The right view of a pair."""
    ids: Int[Tensor, " tokens"] = field(kw_only=True)
    """The token ids, which are the same on both sides."""
    position: Int[Tensor, " tokens"] = field(kw_only=True)
    """For each token, its place in its document, counted from 0."""
    difference: Side | None = field(default=None, kw_only=True)
    """Of a pair: the change of each token, right minus left, as a side. Its `x` is the change of
    the activations, its `reconstruction` what an SAE of differences says of it; it has the latents
    of such SAEs alone, and no logits."""
    copies: tuple[int, ...] = field(default=(), kw_only=True)
    """For each document, how many before it, also of earlier batches, have the very same ids; all
    of them have the id of the first. Empty where every document is the first."""
    saes: Mapping[str, Sae] = field(default_factory=dict, kw_only=True)
    """The SAEs that its reduction reads, loaded: for what sides do not tell, such as decoder rows.
    """
    paths: Mapping[GradientPath, FollowedPath] = field(default_factory=dict, kw_only=True)
    """What came out of the paths that its reduction reads, in the order of `Reads.paths`; their
    sites are blocks here."""

    def clusters(self, sizes: np.ndarray) -> int:
        """How many different documents have a size above 0: copies say nothing new of others."""
        import numpy as np

        first = np.array(self.copies) == 0 if self.copies else True
        return int(np.count_nonzero((sizes > 0) & first))

    def by_document(
        self, values: Shaped[Tensor, " selected"] | None = None
    ) -> Float[Tensor, " documents"]:
        """One value for each selected token, added up for each document, in float64 on the CPU: a
        sum of a metric. Without values: how many of its tokens are selected."""
        where = self.document[self.selected]
        each = where.new_ones(len(where)) if values is None else values.detach().cpu()
        each = each.double()
        return each.new_zeros(len(self.documents)).index_add_(0, where, each)


State = dict[str, "np.ndarray"]
"""What a reduction remembers between batches: arrays by name, float64 or int64, on the CPU. The
core saves them, and adds up what several processes read."""


@dataclass(frozen=True)
class Inputs:
    """What a reduction is given beside its batches: what its `Reads` named."""

    directions: Mapping[str, Direction | Undefined] = field(default_factory=dict)
    """Directions by name: those of `Reads.start` in `start`, all of them in `finish`."""
    saes: Mapping[str, Sae] = field(default_factory=dict)
    """SAEs by name, loaded."""
    sae_sites: Mapping[str, Site] = field(default_factory=dict)
    """By name of the SAE, the site whose activations it encodes."""
    facts: Mapping[str, ModelFacts] = field(default_factory=dict)
    """By name of the view, the facts of its model."""
    seed: int = 0
    """The seed of the task, for all that is drawn."""
    dtypes: Mapping[str, str] = field(default_factory=dict)
    """By name of the view, the dtype that its model computes activations in: `bfloat16`, …"""
    edits: Mapping[StreamEdit, Direction | Undefined] = field(default_factory=dict)
    """By edit of its streams, the direction that was found for it."""
    words: Mapping[str, int] = field(default_factory=dict)
    """By word of `Reads.words`, the id of its token."""


@runtime_checkable
class Reduction(Protocol):
    """A statistic or a direction finder. Built as `Class(options)`.

    However the documents are split into batches and states, `finish` gives the same; the object
    itself remembers nothing. No method modifies what it is given.
    """

    def start(self, inputs: Inputs) -> State:
        """The state before any batch: usually arrays of zeros."""

    def update(self, state: State, batch: Batch) -> State:
        """The state after one more batch. `batch.stream` tells of which stream it is."""

    def merge(self, left: State, right: State) -> State:
        """The state that one reduction over the documents of both would have.

        Called for parts of the data that were read apart, in any order; a state fresh from `start`
        changes nothing.
        """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The outcome. Where nothing was measured, records and directions are undefined and say
        why; no error is raised, and no number made up."""


@runtime_checkable
class Outlook(TaskView, Protocol):
    """The rest of the task, by names in it: what `foresee` is given."""

    def statistic(self, name: str) -> Sequence[StatisticOptions]:
        """The options of a statistic, for each combination of its sweep."""

    def axes_of(self, pair: str) -> Axes:
        """The axes that a pair gives all that is measured on it."""

    def width(self, view: str, site: Site) -> int | None:
        """Numbers per token at a site of a view's model, where known."""
