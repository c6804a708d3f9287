"""The task language: what may stand in a task file, as pydantic models.

Tables that configure a component (`PluginSpec`) hold the core's own keys, listed here, and beside
them the component's options, which `harness.task.components` validates.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from harness.contract import (
    DataRef,
    DirectionRef,
    ModelRef,
    PairRef,
    SaeRef,
    SiteName,
    ViewRef,
)
from harness.task.data_spec import DataSpec
from harness.task.expect_spec import (
    ExpectBenchmark,
    ExpectCompletions,
    ExpectModel,
    ExpectSae,
)
from harness.task.family_spec import FamilySpec
from harness.task.tables import Name, PluginSpec, Scalar, Spec, Sweep


class ModelSpec(PluginSpec):
    """A model: `[models.NAME]`."""

    kind = "backend"
    key = "backend"

    backend: str = "transformers"
    """The backend that loads it. Its own options stand beside this key."""
    expect: ExpectModel = ExpectModel.model_construct()
    """Facts to go by while the model cannot be read."""


class DemonstrationsSpec(Spec):
    """Solved examples before the query."""

    data: DataRef
    """Where they come from."""
    count: int = Field(2, ge=0)
    """How many."""
    seed: int | None = None
    """Which ones are drawn; without it the first ones."""
    answer: str = "answer"
    """The column with their answers."""
    match: str | None = None
    """A column: each query is shown those whose value there is its own, such as its domain."""


class PromptSpec(Spec):
    """How a view writes its prompts."""

    style: Literal["plain", "chat"] = "plain"
    """`plain` writes `template`; `chat` uses the tokenizer's own chat template."""
    template: str = "{text}"
    """Plain prompts: text around `{text}`, `{instruction}` or the name of a column. A blank belongs
    to the word behind it: not `Question: {question}` but `Question:{question}` with a column that
    begins with the blank, or join = "string"."""
    join: Literal["pieces", "string"] = "pieces"
    """Whether each piece of the template is tokenised on its own or the whole as one string. With
    pieces a literal that ends in a blank leaves it a token of its own; `harness check` says so."""
    system: str | None = None
    """Chat prompts: a system message."""
    generation_prompt: bool = True
    """Chat prompts: whether to end where the model's turn begins."""
    template_arguments: dict[Name, Scalar] = Field(default_factory=dict)
    """Chat prompts: what else the template reads, such as { enable_thinking = false }."""
    tools: str | None = None
    """Chat prompts: the column with the tools that the template is told of, a list or JSON text. A
    row without any has none."""
    documents: str | None = None
    """Chat prompts: the column with the documents that the template is given, each a table such as
    { title = "…", text = "…" }, or text; a list or JSON text."""
    demonstrations: DemonstrationsSpec | None = None
    """Solved examples before the query."""
    max_tokens: int | None = Field(None, ge=1)
    """Cut longer prompts at their end: for text that is read, not for prompts to be answered."""
    split_special_tokens: bool = False
    """Whether special tokens that the data spell out, such as <|im_end|>, stay plain text: for data
    that are not trusted. Those of the template stay real. Without it they are real, and counted."""


class InterventionSpec(PluginSpec):
    """What is done with a direction."""

    kind = "intervention"

    method: str
    """The intervention. Its own options stand beside this key."""


class EditSpec(InterventionSpec):
    """What is done to a view's model while it reads."""

    direction: DirectionRef
    """With which direction."""
    at: dict[Name, Scalar] = Field(default_factory=dict)
    """Which of its variants, by axes such as { k = 4 }."""


class ViewSpec(Spec):
    """A model together with how its prompt is written: `[views.NAME]`."""

    model: ModelRef
    """The model."""
    prompt: PromptSpec = PromptSpec.model_construct()
    """How the prompt is written."""
    edit: EditSpec | None = None
    """An intervention under which it reads; completions are edited by experiments instead."""


class SaeSpec(PluginSpec):
    """A sparse autoencoder: `[saes.NAME]`."""

    kind = "sae_format"
    key = "format"

    format: str | None = None
    """The format that loads it; without it, the one format that claims the files."""
    model: ModelRef | None = None
    """The model whose activations it was trained on. Preflight measures it there."""
    pair: PairRef | None = None
    """In place of `model`, of an SAE that reads two models at once, such as a crosscoder or an SAE
    of differences: the pair whose models it was trained on."""
    site: SiteName | None = None
    """Where it reads; without it, what its own metadata say. Checked against them."""
    check_site: bool = True
    """Whether a site that contradicts the SAE's own metadata is an error."""
    check_models: bool = True
    """Whether it is an error that the files of an SAE of a pair name other models than the pair's.
    """
    expect: ExpectSae = ExpectSae.model_construct()
    """Facts to go by while the SAE cannot be read."""

    @model_validator(mode="after")
    def _model_or_pair(self) -> SaeSpec:
        if (self.model is None) == (self.pair is None):
            raise ValueError(
                "give either model, whose activations it was trained on, or pair, for an SAE that "
                "reads both models of a pair at once"
            )
        return self


class PreflightSpec(Spec):
    """Whether each SAE sits where it belongs, measured before anything else: `[preflight]`."""

    data: DataRef
    """Text like that on which the SAEs were trained."""
    fvu_max: float = Field(0.5, gt=0)
    """Largest fraction of variance unexplained at the declared site."""
    limit: int = Field(64, ge=1)
    """How many documents are read."""
    max_tokens: int = Field(512, ge=2)
    """How many tokens of each document are read."""
    skip_first: int = Field(0, ge=0)
    """Tokens at the beginning of each document that are not measured."""
    max_norm_ratio: float | None = Field(None, gt=1)
    """Leave out tokens longer than so many times their document's median; the share is a record."""
    fvu: str = "fvu"
    """The metric that is held against `fvu_max` and against the neighbouring sites."""
    also: tuple[str, ...] = ("l0",)
    """Metrics that are reported beside it."""


class DirectionSpec(PluginSpec):
    """Vectors at a site and how they are found: `[directions.NAME]`."""

    kind = "direction"

    method: str
    """The direction finder. Its own options stand beside this key."""
    sweep: Sweep = Field(default_factory=dict)
    """Options to vary; each combination is a direction of its own."""


class PairSpec(Spec):
    """Two views on the same tokens, rendered once: `[pairs.NAME]`."""

    left: ViewRef
    """The model before."""
    right: ViewRef
    """The model after."""
    data: DataRef
    """What both read."""
    saes: tuple[SaeRef, ...] = ()
    """SAEs to measure with."""
    sites: tuple[SiteName, ...] = ()
    """Further sites, for metrics that need no SAE."""
    expect: Literal["different", "same"] | None = None
    """Whether the two models must differ. Otherwise the run is invalid."""
    align: Literal["tokens", "span"] = "tokens"
    """`tokens`: one rendering for both. `span`: each side renders its own prompt, and what is
    measured must be the same tokens on both: the query after its own context, which is the last
    user turn's content (plain: the filled template) and what follows."""
    render: Literal["left", "right"] = "left"
    """Whose prompt both read: `right` where only the tuned model has a chat template."""
    same_tokenizer: bool = True
    """Whether tokenizers that differ are an error. Without it one model reads the other one's
    ids as they are."""
    tokens: Literal["all", "last", "answer", "predicting"] = "all"
    """`last`: the last token of each prompt alone. `answer`: of conversations that end with an
    answer, its tokens alone. `predicting`: the tokens before them, where a model says what the
    answer will be; for metrics of logits."""
    skip_first: int = Field(0, ge=0)
    """Tokens at the beginning of each document that nothing measures."""
    max_norm_ratio: float | None = Field(None, gt=1)
    """Leave out tokens longer than so many times the median of their document, on either side:
    attention sinks. The share that is left out is a record."""
    pack: int | None = Field(None, ge=2)
    """Read documents one after the other in rows of so many tokens, instead of a row each. They
    see those before them in their row, as in training; which ones depends on the shard."""
    budget: int | None = Field(None, ge=1)
    """Stop after the document in which so many tokens were read."""
    axes: dict[Name, Scalar] = Field(default_factory=dict)
    """Further axes of everything that is measured on it, such as { checkpoint = 100 }."""


class WhereSpec(Spec):
    """Which tokens count, at the site where a metric is measured; all conditions must hold."""

    cosine_below: float | None = Field(None, ge=-1, le=1)
    """cos(x_left, x_right) is smaller than this."""
    cosine_above: float | None = Field(None, ge=-1, le=1)
    """cos(x_left, x_right) is at least this."""
    cosine_quantile: float | None = Field(None, gt=0, lt=1)
    """The token is in this share of all measured tokens: those with the lowest cos(x_left,
    x_right). How low that is, an earlier pass finds; it is a record, `cosine_threshold`."""

    @model_validator(mode="after")
    def _possible(self) -> WhereSpec:
        below, above = self.cosine_below, self.cosine_above
        if below is not None and above is not None and below <= above:
            raise ValueError(
                f"no cosine is at least {above} and below {below}. Allowed: cosine_above smaller "
                "than cosine_below. For either of two ranges, write two metrics"
            )
        return self


class MetricSpec(PluginSpec):
    """A number about a pair, or about one view of some data: `[metrics.NAME]`."""

    kind = "metric"

    method: str | None = None
    """The metric; without it, the one called like the table."""
    pair: PairRef | None = None
    """The pair to measure."""
    view: ViewRef | None = None
    """The view to measure, with `data`, instead of a pair."""
    data: DataRef | None = None
    """What the view reads."""
    saes: tuple[SaeRef, ...] | None = None
    """SAEs to measure with; without it, the pair's."""
    sites: tuple[SiteName, ...] | None = None
    """Sites to measure at; without it, the pair's."""
    where: WhereSpec = WhereSpec.model_construct()
    """Only tokens of which this holds. The share that counts is a record, `filtered_share`."""

    @model_validator(mode="after")
    def _pair_or_view(self) -> MetricSpec:
        if (self.pair is None) == (self.view is None) or (self.view is None) != (self.data is None):
            raise ValueError("give either pair, or view and data")
        if self.view is not None and self.where != WhereSpec():
            raise ValueError("where compares two views: it needs a pair")
        return self


class StatisticSpec(PluginSpec):
    """Numbers, tables and arrays from a pass of their own kind: `[statistics.NAME]`."""

    kind = "statistic"

    method: str | None = None
    """The statistic; without it, the one called like the table."""
    sweep: Sweep = Field(default_factory=dict)
    """Options to vary; each combination is a statistic of its own."""


class LabelsSpec(PluginSpec):
    """Descriptions of an SAE's features: `[labels.NAME]`."""

    kind = "labels"

    method: str | None = None
    """Where they come from; without it, the source called like the table."""
    sae: SaeRef
    """Whose features."""
    top: int = Field(100, ge=1)
    """How many features of each table are looked up, in the order of the table."""


class GenerationSpec(Spec):
    """How completions are drawn."""

    max_new_tokens: int = Field(512, ge=1)
    """Longest completion."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus sampling; only with a temperature."""


class ExperimentSpec(Spec):
    """Completions under interventions, judged: `[experiments.NAME]`."""

    view: ViewRef
    """Who writes."""
    data: DataRef | None = None
    """The prompts; benchmarks bring their own."""
    intervention: InterventionSpec | None = None
    """What is done with each direction. The arm that is left as it is always runs too."""
    directions: tuple[DirectionRef, ...] = ()
    """The arms."""
    evaluators: Annotated[tuple[str, ...], Field(min_length=1)]
    """Who judges: entries of `[evaluators]`, or evaluators by their own name."""
    generation: GenerationSpec = GenerationSpec.model_construct()
    """How completions are drawn."""
    expect: ExpectCompletions = ExpectCompletions.model_construct()
    """What they are expected to be like; changes what is planned, never what is run."""

    @model_validator(mode="after")
    def _both_or_neither(self) -> ExperimentSpec:
        if (self.intervention is None) != (not self.directions):
            raise ValueError("intervention and directions belong together; give both, or neither")
        return self


class EvaluatorSpec(PluginSpec):
    """A judge of completions: `[evaluators.NAME]`."""

    kind = "evaluator"

    method: str | None = None
    """The evaluator; without it, the one called like the table."""
    expect: ExpectBenchmark = ExpectBenchmark.model_construct()
    """What a benchmark is expected to ask; changes what is planned, never what is run."""


class AnalysisSpec(PluginSpec):
    """Numbers made from what the run has found: `[analyses.NAME]`."""

    kind = "analysis"

    method: str | None = None
    """The analysis; without it, the one called like the table."""
    sweep: Sweep = Field(default_factory=dict)
    """Options to vary; each combination is an analysis of its own, which sees those before it."""


class ObserverSpec(PluginSpec):
    """Who is told what happens in the run: `[observers.NAME]`. Changes no number, so a run with
    other observers is the same run; its results do not name them."""

    kind = "observer"

    method: str | None = None
    """The observer; without it, the one called like the table."""


class ExecutorSpec(PluginSpec):
    """Who computes the parts of the run, and where: `[executor]`. Changes no number, so a run with
    another executor is the same run; without it, this process computes everything."""

    kind = "executor"

    method: str = "local"
    """The executor."""


class GateSpec(Spec):
    """What must hold of the numbers, or `harness eval` and `harness gate` end with 1:
    `[gates.NAME]`."""

    condition: str = Field(alias="assert")
    """`id[axis=value, …] >= number`; every record that fits must fulfil it, and one must exist.
    `low(…)` and `high(…)` compare the ends of the interval."""

    @field_validator("condition")
    @classmethod
    def _is_a_condition(cls, text: str) -> str:
        from harness.task.gates import parse

        parse("", text)
        return text


class ClaimSpec(Spec):
    """What the task expects before it runs: `[claims.NAME]`. It comes out as supported,
    contradicted or undecided."""

    text: str = Field(min_length=1)
    """The claim in words."""
    holds: str
    """`id[axis=value, …] <= number`, with <=, <, >= or >; on the left also a difference
    (`term - term`) or a ratio (`term / term`). Draws of a control are averaged."""
    against: str | None = None
    """A direction of the same experiment that is a control, or "null": then the number must also
    be beyond what the control, or the record's null, has."""
    source: str | None = None
    """The place in the paper that says so."""
    written: str | None = None
    """When a run first knew it; a run writes this, and goes by its own memory, not by this."""

    @model_validator(mode="after")
    def _is_a_claim(self) -> ClaimSpec:
        from harness.task.claims import parse

        parse("", self.text, self.holds)
        return self


class BatchSpec(Spec):
    """Batch sizes. They change no number beyond rounding; out of memory halves them."""

    activations: int = Field(32, ge=1)
    """Prompts per forward pass."""
    shard: int = Field(32768, ge=1)
    """Tokens after which a pass saves what it has: a rerun repeats at most so many."""
    generation: int = Field(256, ge=1)
    """Prompts generated together."""


class TaskSpec(Spec):
    """A whole experiment, complete and re-runnable."""

    name: Name
    """Short name; the run's folder is called after it."""
    title: str = ""
    """The question, for the report."""
    source: str = ""
    """The paper and section that it follows."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of everything that is drawn."""
    requires: tuple[str, ...] = ()
    """Plugins that must be installed, such as "acme-harness>=0.3"."""
    plugins: tuple[str, ...] = ()
    """Plugins in files of their own, such as "./my_metric.py", beside the file that says so. Their
    code runs only where the command has --trust-local-code, or had it for the same content."""
    max_arms: int = Field(1000, ge=1)
    """Most arms that sweeps may expand to; raise it to confirm a larger one."""
    batch: BatchSpec = BatchSpec.model_construct()
    """Batch sizes."""
    models: dict[Name, ModelSpec] = Field(default_factory=dict)
    """Models."""
    views: dict[Name, ViewSpec] = Field(default_factory=dict)
    """Views."""
    saes: dict[Name, SaeSpec] = Field(default_factory=dict)
    """Sparse autoencoders."""
    preflight: PreflightSpec | None = None
    """Checks of the SAEs before anything else."""
    data: dict[Name, DataSpec] = Field(default_factory=dict)
    """Data."""
    directions: dict[Name, DirectionSpec] = Field(default_factory=dict)
    """Directions."""
    pairs: dict[Name, PairSpec] = Field(default_factory=dict)
    """Pairs of views."""
    metrics: dict[Name, MetricSpec] = Field(default_factory=dict)
    """Metrics."""
    statistics: dict[Name, StatisticSpec] = Field(default_factory=dict)
    """Statistics."""
    labels: dict[Name, LabelsSpec] = Field(default_factory=dict)
    """What features mean."""
    experiments: dict[Name, ExperimentSpec] = Field(default_factory=dict)
    """Interventions with completions and judges."""
    evaluators: dict[Name, EvaluatorSpec] = Field(default_factory=dict)
    """Judges with options of their own."""
    analyses: dict[Name, AnalysisSpec] = Field(default_factory=dict)
    """Analyses of what was found, in this order: each one sees what those before it found."""
    observers: dict[Name, ObserverSpec] = Field(default_factory=dict)
    """Who is told what happens; `--observe` adds one without a change to the task."""
    executor: ExecutorSpec | None = None
    """Who computes the parts of the run."""
    gates: dict[Name, GateSpec] = Field(default_factory=dict)
    """What must hold of the numbers."""
    claims: dict[Name, ClaimSpec] = Field(default_factory=dict)
    """What the task expects before it runs."""
    families: dict[Name, FamilySpec] = Field(default_factory=dict)
    """What the task asks many numbers at once."""
