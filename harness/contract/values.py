"""The frozen values that pass between the harness and its plugins. Plain data, no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from harness.contract.sites import Site

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from harness.contract import Model

JSON = str | int | float | bool | None
Axes = Mapping[str, JSON]


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model from its configuration files alone; None where it is not."""

    architecture: str | None = None
    layers: int | None = None
    d_model: int | None = None
    d_attn_z: int | None = None
    vocabulary: int | None = None
    context: int | None = None
    parameters: int | None = None
    chat_template: bool | None = None

    def width(self, site: Site) -> int | None:
        """Numbers per token at `site`, or None where the configuration does not tell."""
        if site.kind == "attn_z":
            return self.d_attn_z
        return self.d_model if site.in_block or site.kind == "embed" else None


@dataclass(frozen=True)
class SaeFacts:
    """What is known of an SAE from its configuration and headers alone; None where it is not."""

    architecture: str | None = None
    d_in: int | None = None
    d_sae: int | None = None
    site: Site | None = None
    site_out: Site | None = None
    signed: bool = False
    """Whether negative values count as active."""
    needs_sequence: bool = False
    model: str | None = None
    neuronpedia: str | None = None


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


@dataclass(frozen=True)
class Needs:
    """What `harness plan` asks of a model or an SAE beside its facts; None where no file tells."""

    download: str | None = None
    """The hub id that is not in the local cache yet; None where nothing need be fetched."""
    download_bytes: int | None = None
    """The size of that download."""
    number_bytes: int | None = None
    """Bytes of one number as it is computed with; None where that depends on the device."""
    looked_up: int | None = None
    """Parameters that are only looked up: an input embedding that is not the output's, too."""
    kept: int | None = None
    """Numbers that are kept for each token while completions are written: keys and values."""
    widest: int | None = None
    """Numbers per token in the hidden layer of a block's MLP."""


@dataclass(frozen=True)
class Example:
    """One row of data. `id` is a hash of its content, the cluster of every interval."""

    id: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Mapping[str, str], ...] = ()
    """The turns (`role`, `content`) where the data are conversations."""


@dataclass(frozen=True)
class Prompt:
    """How a view writes its prompt.

    `plain`: `template` around `{text}` (the data's column, under that name or `text`; other
    columns by theirs), each piece tokenised on its own, so that a separator such as "\\n" is
    always the same token. `chat`: the tokenizer's chat template.
    """

    style: Literal["plain", "chat"] = "plain"
    template: str = "{text}"
    join: Literal["pieces", "string"] = "pieces"
    system: str | None = None
    generation_prompt: bool = True
    demonstrations: tuple[Example, ...] = ()
    answer: str = "answer"
    """The column that holds a demonstration's answer."""
    max_tokens: int | None = None
    """Longer prompts lose their end: for text that is read, not for prompts that are answered."""


@dataclass(frozen=True)
class Tokens:
    """One rendered prompt. `span` is the part that is measured (a query without its context)."""

    example: str
    ids: tuple[int, ...]
    span: tuple[int, int]
    text: str
    arm: int = 0
    """Which of the arms of `Model.edited` edits this row."""


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn: greedy at temperature 0."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Completion:
    """What a model wrote after a prompt; `text` without special tokens, stripped."""

    text: str
    tokens: int
    stopped: bool
    """Whether it ended by itself rather than at the token limit."""


@dataclass(frozen=True)
class Answer:
    """A completion with the prompt and example it answers."""

    example: Example
    prompt: str
    completion: Completion


@dataclass(frozen=True)
class Score:
    """One score that an evaluator gives each completion: the identity card of its record."""

    name: str
    id: str
    unit: str = "share"


@dataclass(frozen=True)
class Verdict:
    """Scores of one completion by name; None where the evaluator could not tell."""

    scores: Mapping[str, bool | float | None]
    note: str = ""


@dataclass(frozen=True)
class Tools:
    """What an evaluator is given beside the completions."""

    models: Mapping[str, Model] = field(default_factory=dict)
    """The models of the task that its options name, loaded."""
    cache: Path | None = None
    """A folder of the run that outlives it: verdicts kept there are not asked for again."""
    seed: int = 0
    tick: Callable[[int], None] = lambda done: None
    """To be called, by evaluators that take their time, with the number of answers just judged."""


@dataclass(frozen=True)
class Receipt:
    """What the edits of an arm really did."""

    arm: str
    fired: int = 0
    """How often an edit ran."""
    tokens: int = 0
    """Token positions changed or looked at by an edit, padding left out, summed over sites."""
    changed: int = 0
    """Those where the activation came out different."""
    relative: float | None = None
    """Mean ‖Δ‖/‖x‖ over those tokens."""
    checks: Mapping[str, float] = field(default_factory=dict)
    """The largest value that each check measured."""
    broken: tuple[str, ...] = ()
    """Checks that went over their limit, and non-finite results."""


@dataclass(frozen=True)
class Direction:
    """Vectors at a site, with their raw lengths: Float64 `[rank, d_site]`, numpy."""

    site: Site
    vectors: np.ndarray
    reference_norm: float | None = None
    """Length of the direction that this one rebuilds or imitates."""
    sae: str | None = None
    features: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class Undefined:
    """A direction that does not exist, and why."""

    reason: str


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


@dataclass(frozen=True)
class Record:
    """One number of the results; `value` is None exactly when `undefined` says why.

    `id` is `name.variant@version`. `ci` is a 95% interval; where there is none, `ci_why` says why.
    """

    id: str
    value: float | None
    n: int
    n_of: str
    unit: str
    options: Mapping[str, Any] = field(default_factory=dict)
    clusters: int | None = None
    ci: tuple[float, float] | None = None
    ci_why: str | None = None
    null: Mapping[str, Any] | None = None
    undefined: str | None = None
    axes: Axes = field(default_factory=dict)

    def on(self, **axes: JSON) -> Record:
        """The same record with further axes."""
        return replace(self, axes={**self.axes, **axes})


@dataclass(frozen=True)
class Found:
    """One direction that a finder yields, with the axes of its variant."""

    direction: Direction | Undefined
    axes: Axes = field(default_factory=dict)
    records: tuple[Record, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a reduction yields: records, tables (rows of plain values), directions and arrays."""

    records: tuple[Record, ...] = ()
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    directions: tuple[Found, ...] = ()
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Numbers that analyses read, by name: kept with the run, never shown."""
    notes: tuple[str, ...] = ()
    """What whoever reads the numbers must know: shown as warnings."""


@dataclass(frozen=True)
class Arrays:
    """The arrays of one statistic: of one variant of its sweep, of one category of its data."""

    statistic: str
    """Its name in the task."""
    axes: Axes
    """Sweep values, and `domain` for a category; all categories together have no `domain`."""
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Label:
    """What a feature of an SAE means, according to one source. All text is hostile."""

    sae: str
    feature: int
    description: str
    cluster: str | None = None
    """Its semantic cluster, where the source tells one."""
    url: str | None = None
    contexts: tuple[Mapping[str, Any], ...] = ()
    """Where it is active: `tokens` (list of str), `values` (list of float), and what else."""


@dataclass(frozen=True)
class Findings:
    """What an analysis reads: everything that the run has found before it."""

    records: tuple[Record, ...] = ()
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Tables by name. `completions` has a row for every completion of every experiment:
    `experiment`, the arm's `direction` and axes, `example`, `text`, `completion`, and `verdicts`
    (by evaluator, its scores by name). `labels.<name>` has a row for every label of a source."""
    arrays: tuple[Arrays, ...] = ()
    """What the task's statistics kept."""
    saes: Mapping[str, SaeFacts] = field(default_factory=dict)
    tools: Tools = Tools()
    """The models that the options name, loaded, and a folder of the run's own."""
    seed: int = 0


@dataclass(frozen=True)
class Figure:
    """A chart of the report, as plotly takes it: `data` and `layout`, plain JSON."""

    title: str
    description: str
    """What it shows, for those who do not see it."""
    data: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    """The same numbers as a table, shown below it."""


@dataclass(frozen=True)
class Grid:
    """A table of the report; cells are plain values, and hostile text until they are escaped."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[JSON]]
    note: str = ""
    folded: bool = False
    """Whether it stays closed until the reader opens it."""


@dataclass(frozen=True)
class Prose:
    """A paragraph of the report, plain text."""

    text: str
    tone: Literal["plain", "warning", "invalid"] = "plain"


@dataclass(frozen=True)
class Panel:
    """A section of the report. Panels are sorted by `order`: 0 is the top, 100 the end."""

    title: str
    blocks: Sequence[Figure | Grid | Prose]
    order: int = 50
