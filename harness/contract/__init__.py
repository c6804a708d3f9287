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

from typing import TYPE_CHECKING, Any

from harness.contract.backend import (
    Activations as Activations,
    Backend as Backend,
    BackendOptions as BackendOptions,
    Model as Model,
    ModelFacts as ModelFacts,
    Native as Native,
    Needs as Needs,
)
from harness.contract.component import (
    Component as Component,
    Kind as Kind,
    harness_components as harness_components,
    hookimpl as hookimpl,
    hookspec as hookspec,
)
from harness.contract.edits import (
    Arm as Arm,
    Check as Check,
    Edit as Edit,
    Receipt as Receipt,
)
from harness.contract.evaluator import (
    Answer as Answer,
    Benchmark as Benchmark,
    BenchmarkOptions as BenchmarkOptions,
    Evaluator as Evaluator,
    EvaluatorOptions as EvaluatorOptions,
    Score as Score,
    Tools as Tools,
    Verdict as Verdict,
)
from harness.contract.findings import (
    Analysis as Analysis,
    AnalysisOptions as AnalysisOptions,
    Arrays as Arrays,
    Findings as Findings,
    Label as Label,
    Labels as Labels,
    LabelsOptions as LabelsOptions,
)
from harness.contract.intervention import (
    Intervention as Intervention,
    InterventionOptions as InterventionOptions,
    PairedIntervention as PairedIntervention,
    SaeIntervention as SaeIntervention,
)
from harness.contract.metric import (
    Metric as Metric,
    MetricOptions as MetricOptions,
    MetricValue as MetricValue,
    Target as Target,
)
from harness.contract.options import (
    DataRef as DataRef,
    DirectionRef as DirectionRef,
    LabelsRef as LabelsRef,
    LocalPath as LocalPath,
    Location as Location,
    ModelRef as ModelRef,
    Options as Options,
    PairRef as PairRef,
    Place as Place,
    Ref as Ref,
    SaeRef as SaeRef,
    ServerUrl as ServerUrl,
    SiteName as SiteName,
    StatisticRef as StatisticRef,
    ViewRef as ViewRef,
)
from harness.contract.reduction import (
    Batch as Batch,
    DirectionOptions as DirectionOptions,
    Inputs as Inputs,
    Reads as Reads,
    Reduction as Reduction,
    ReductionOptions as ReductionOptions,
    Side as Side,
    State as State,
    StatisticOptions as StatisticOptions,
    Stream as Stream,
    TaskView as TaskView,
    Where as Where,
)
from harness.contract.sae import (
    Calibrated as Calibrated,
    Sae as Sae,
    SaeFacts as SaeFacts,
    SaeFormat as SaeFormat,
    SaeOptions as SaeOptions,
)
from harness.contract.section import (
    Figure as Figure,
    Grid as Grid,
    Panel as Panel,
    Prose as Prose,
    Section as Section,
    SectionOptions as SectionOptions,
)
from harness.contract.sites import (
    Site as Site,
    parse_site as parse_site,
)
from harness.contract.values import (
    JSON as JSON,
    Axes as Axes,
    Completion as Completion,
    Direction as Direction,
    Example as Example,
    Found as Found,
    Outcome as Outcome,
    Prompt as Prompt,
    Record as Record,
    Sampling as Sampling,
    Tokens as Tokens,
    Undefined as Undefined,
)

if TYPE_CHECKING:
    from harness.contract.latents import Latents as Latents


def __getattr__(name: str) -> Any:
    """`Latents`, whose module imports torch: it is loaded when it is first asked for."""
    if name == "Latents":
        from harness.contract.latents import Latents

        return Latents
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
