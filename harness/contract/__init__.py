"""The contract between the harness and its plugins: read this file to write one.

A plugin is a light module, listed in its package's entry points::

    [project.entry-points.harness]
    harness_acme = "harness_acme.plugin"

that implements one hook, `harness_components`, and returns plain `Component`s. Every component
has a light half and a heavy half:

- its **options** (`Component.options`): a pydantic model in a module that imports no torch. It is
  what a task writes, and it answers what `harness check` and `harness plan` must know before any
  weight is read: which streams a reduction reads, how many layers a model has, how wide an SAE is;
- the **object** (`Component.load`), built as `Class(options)` when a task runs.

An options field that names something else in the task is typed as a reference (`ViewRef`,
`DataRef`, …); the core checks that it exists and orders the work by it. `Location` fields are
paths beside the file that wrote them, or hub ids.

Shapes are written as in jaxtyping: `Float[Tensor, "batch pos d_model"]`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import pluggy

from harness.contract.edits import Arm as Arm, Check as Check, Edit as Edit
from harness.contract.options import (
    AnalysisOptions as AnalysisOptions,
    BackendOptions as BackendOptions,
    BenchmarkOptions as BenchmarkOptions,
    DataRef as DataRef,
    DirectionOptions as DirectionOptions,
    DirectionRef as DirectionRef,
    EvaluatorOptions as EvaluatorOptions,
    InterventionOptions as InterventionOptions,
    LabelsOptions as LabelsOptions,
    LabelsRef as LabelsRef,
    LocalPath as LocalPath,
    Location as Location,
    MetricOptions as MetricOptions,
    ModelRef as ModelRef,
    Options as Options,
    PairRef as PairRef,
    Place as Place,
    ReductionOptions as ReductionOptions,
    Ref as Ref,
    SaeOptions as SaeOptions,
    SaeRef as SaeRef,
    SectionOptions as SectionOptions,
    ServerUrl as ServerUrl,
    SiteName as SiteName,
    StatisticOptions as StatisticOptions,
    StatisticRef as StatisticRef,
    TaskView as TaskView,
    ViewRef as ViewRef,
)
from harness.contract.results import Results as Results
from harness.contract.sites import Site as Site
from harness.contract.values import (
    JSON as JSON,
    Answer as Answer,
    Arrays as Arrays,
    Axes as Axes,
    Completion as Completion,
    Direction as Direction,
    Example as Example,
    Figure as Figure,
    Findings as Findings,
    Found as Found,
    Grid as Grid,
    Label as Label,
    MetricValue as MetricValue,
    ModelFacts as ModelFacts,
    Needs as Needs,
    Outcome as Outcome,
    Panel as Panel,
    Prompt as Prompt,
    Prose as Prose,
    Reads as Reads,
    Receipt as Receipt,
    Record as Record,
    SaeFacts as SaeFacts,
    Sampling as Sampling,
    Score as Score,
    Stream as Stream,
    Target as Target,
    Tokens as Tokens,
    Tools as Tools,
    Undefined as Undefined,
    Verdict as Verdict,
    Where as Where,
)

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from jaxtyping import Float, Int
    from torch import Tensor

    from harness.contract.latents import Latents

hookspec = pluggy.HookspecMarker("harness")
hookimpl = pluggy.HookimplMarker("harness")

Kind = Literal[
    "backend",
    "sae_format",
    "metric",
    "statistic",
    "direction",
    "intervention",
    "evaluator",
    "labels",
    "analysis",
    "section",
]


@dataclass(frozen=True)
class Component:
    """One thing a plugin provides: plain data, nothing imported."""

    kind: Kind
    name: str
    summary: str
    load: str
    """Where the object's class is: `package.module:Class`. Imported when a task runs it."""
    options: str
    """Where its options are: `package.module:Class`. Imported by `check`; must not import torch."""
    extra: str = ""
    """The requirement that brings what `load` needs, for the message when it is missing."""
    samples: str = ""
    """What its laws are tried on, for `harness plugins check`: `package.module:function`. Called
    with an empty folder, it gives calls of `harness.testing.check_*`, each a `functools.partial`.
    """


@hookspec
def harness_components() -> Iterable[Component]:
    """What this plugin provides.

    Returns: the components, each with a name that is unique in the plugin for its kind.
    Stops at the first answer: no; every plugin is asked, one at a time.
    Called: once per command, before the task is read. Must import nothing heavy.
    Implemented by: plugins that provide components.
    """
    raise AssertionError("a hook specification is not called")


# ── Models ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Activations:
    """Activations of a padded batch; row i belongs to the i-th `Tokens`.

    `sites[s]` is Float[Tensor, "batch pos d_site"]; `start[i]` the column of row i's first token
    (0 with right padding), so its tokens are columns `start[i] : start[i] + len(ids)`.
    """

    sites: Mapping[Site, Tensor]
    start: tuple[int, ...]
    logits: Float[Tensor, "batch pos vocab"] | None = None


@dataclass(frozen=True)
class Native:
    """What a backend wraps, for libraries that want it bare: edits act on it as on the wrapper."""

    model: Any
    tokenizer: Any


@runtime_checkable
class Model(Protocol):
    """A loaded model. Rows of a batch never influence each other; hooks never outlive a call."""

    facts: ModelFacts
    fingerprint: str
    """Hash of weights, adapter, tokenizer, template and dtype."""
    dtype: str
    device: str
    masked_ids: frozenset[int]
    """BOS, EOS and padding: never measured."""

    @property
    def native(self) -> Native | None:
        """The library's own objects; None where the backend has none to give."""

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        """Prompts as token ids, with exactly the special tokens that the model expects."""

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        """One forward over the batch, stopped at the deepest site unless logits are asked for."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The tokens of a text, with or without those that the tokenizer puts around it."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without special ones."""

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        """Completions of one batch, each under the edits of its row's arm."""

    def edited(self, arms: Sequence[Arm]) -> AbstractContextManager[Sequence[Receipt]]:
        """Everything inside runs under the edits; row by row where there are several arms.

        The receipts are complete after the block. All hooks are gone then, also after an error.
        """


@runtime_checkable
class Backend(Protocol):
    """Loads a model; built as `Class(options)`."""

    def load(self) -> Model:
        """The model, ready; ModelError says which file is missing or wrong."""


# ── SAEs, batches and reductions ─────────────────────────────────────────────────────────────────


@runtime_checkable
class Sae(Protocol):
    """A sparse autoencoder. Rows are independent unless `facts.needs_sequence`."""

    facts: SaeFacts
    fingerprint: str
    notes: tuple[str, ...]
    """What a reader of the numbers should know of how it was loaded; shown as warnings."""

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Sparse latents: for each token the indices and values that are not zero."""

    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """x̂ from latents, in the space of the activations."""

    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_out"]:
        """Decoder rows, in the space of the activations."""


@runtime_checkable
class Calibrated(Protocol):
    """An SAE whose files leave open how its input is scaled: its own model's text decides."""

    def calibrated(
        self, x: Float[Tensor, "tokens d_in"], target: Float[Tensor, "tokens d_out"] | None = None
    ) -> Sae:
        """The SAE in the scaling that explains `target` better, and a note that says which.

        `target` is what a transcoder writes; None where it is x itself. With `needs_sequence`
        these are the tokens of one document.
        """


@runtime_checkable
class SaeFormat(Protocol):
    """Loads an SAE; built as `Class(options)`."""

    def load(self, device: str) -> Sae:
        """The SAE, ready; ModelError says which file, tensor or key is missing or wrong."""


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


@runtime_checkable
class Intervention(Protocol):
    """Turns a direction into edits of a model; built as `Class(options)`."""

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        """The edits, and the promises they make; ModelError where they make no sense."""


@runtime_checkable
class SaeIntervention(Protocol):
    """An intervention whose edits run an SAE: `on_sae` in its options; `Class(options)`."""

    def arm(
        self, name: str, direction: Direction, facts: ModelFacts, dtype: str, sae: Sae | None
    ) -> Arm:
        """As `Intervention.arm`; `sae` is the direction's, None where it was made with none."""


@runtime_checkable
class PairedIntervention(Protocol):
    """An intervention that differs by token: `beside` in its options names the other view."""

    def arms(
        self,
        name: str,
        direction: Direction,
        facts: ModelFacts,
        dtype: str,
        beside: Float[Tensor, "rows pos d_site"],
    ) -> Sequence[Arm]:
        """One arm for each row; `beside` is what the other view has at the direction's site.

        Rows are padded on the right; what stands at padding is never looked at.
        """


# ── Evaluators ───────────────────────────────────────────────────────────────────────────────────


@runtime_checkable
class Evaluator(Protocol):
    """Judges completions, built as `Class(options)`; never sees a hook."""

    scores: tuple[Score, ...]

    def judge(self, answers: Sequence[Answer], tools: Tools) -> list[Verdict]:
        """One verdict per answer, in order; answers do not influence each other."""


@runtime_checkable
class Benchmark(Protocol):
    """An evaluator that asks a model itself, built as `Class(options)` of `BenchmarkOptions`."""

    def run(self, model: Model, folder: Path, tools: Tools) -> Outcome:
        """Records and tables of one arm; the model is edited already, every row alike.

        `folder` is the arm's own and outlives the run: what is there need not be asked again.
        """


# ── Labels ───────────────────────────────────────────────────────────────────────────────────────


@runtime_checkable
class Labels(Protocol):
    """Descriptions of an SAE's features; built as `Class(options)`."""

    notes: tuple[str, ...]
    """What a reader should know of the last call: what was not to be had, and why. Warnings."""

    def describe(
        self, sae: str, facts: SaeFacts, features: Sequence[int], findings: Findings
    ) -> Sequence[Label]:
        """One label for each feature that has one, at most; the order does not matter.

        MachineError where it cannot go on (a service is not reachable): the run goes on without
        it, and says so.
        """


# ── Analyses and the report ──────────────────────────────────────────────────────────────────────


@runtime_checkable
class Analysis(Protocol):
    """Numbers made from what the run has found already; built as `Class(options)`."""

    def run(self, findings: Findings) -> Outcome:
        """Records and tables."""


@runtime_checkable
class Section(Protocol):
    """A part of the report; built as `Class(options)`. Every installed one is asked."""

    def panel(self, results: Results) -> Panel | None:
        """What it has to show of these results, or None."""
