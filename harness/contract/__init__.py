"""The contract between the harness and its plugins. Import everything from here.

A plugin lists `Component`s; each has two halves:

- its **options**, a pydantic model that says what a task may write. `harness check` and `plan`
  read it before any weight is read, so its module imports no torch;
- its **object**, built as `Class(options)` when a task runs, which does the work.

Each kind of plugin has a file that holds both halves, as base class and as protocol, and what
passes between them and the core: `backend`, `sae`, `reduction` (also statistics and directions),
`metric`, `intervention`, `evaluator` (also benchmarks), `findings` (analyses and labels),
`section`, `observer`, `executor` and `export`. `component` has the hook, `options` the types of
fields that name something else in the task, `values`, `prompts`, `sites`, `edits`, `stream_edit`,
`thoughts` and `latents` what several kinds share.
`capabilities` says what a model may offer; `writing` is for models that only answer
prompts, `gradients` for those that can be differentiated, and `paths` and `scalars` for what a
reduction follows with them. `ahead` is for what reads its files before it loads them. `version`
has the number of this contract.

Shapes are written as in jaxtyping: `Float[Tensor, "batch pos d_model"]`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from harness.contract.component import (
    Component as Component,
    Kind as Kind,
    harness_components as harness_components,
    hookimpl as hookimpl,
    hookspec as hookspec,
)

if TYPE_CHECKING:
    from harness.contract.ahead import ReadsAhead as ReadsAhead
    from harness.contract.backend import (
        Activations as Activations,
        Backend as Backend,
        BackendOptions as BackendOptions,
        Model as Model,
        ModelFacts as ModelFacts,
        ModelPlace as ModelPlace,
        Native as Native,
        Needs as Needs,
        Rests as Rests,
    )
    from harness.contract.capabilities import (
        USUAL as USUAL,
        WRITES as WRITES,
        Capability as Capability,
    )
    from harness.contract.checkpoint import Checkpoint as Checkpoint
    from harness.contract.claims import ClaimOutcome as ClaimOutcome, ClaimStatus as ClaimStatus
    from harness.contract.edits import (
        Arm as Arm,
        Check as Check,
        Edit as Edit,
        Receipt as Receipt,
    )
    from harness.contract.encodes import Encodes as Encodes
    from harness.contract.evaluator import (
        ANSWERS as ANSWERS,
        Answer as Answer,
        Asked as Asked,
        Benchmark as Benchmark,
        BenchmarkOptions as BenchmarkOptions,
        Evaluator as Evaluator,
        EvaluatorOptions as EvaluatorOptions,
        PartedBenchmark as PartedBenchmark,
        Score as Score,
        Tools as Tools,
        Verdict as Verdict,
    )
    from harness.contract.executor import (
        Crew as Crew,
        Executor as Executor,
        ExecutorOptions as ExecutorOptions,
        Outfit as Outfit,
        Reply as Reply,
        Worker as Worker,
        start_worker as start_worker,
    )
    from harness.contract.export import (
        Export as Export,
        ExportedRun as ExportedRun,
        ExportFile as ExportFile,
        ExportOptions as ExportOptions,
        LeftOut as LeftOut,
    )
    from harness.contract.families import Dependence as Dependence, FamilyOutcome as FamilyOutcome
    from harness.contract.findings import (
        Analysis as Analysis,
        AnalysisOptions as AnalysisOptions,
        Arrays as Arrays,
        Findings as Findings,
        Label as Label,
        Labels as Labels,
        LabelsOptions as LabelsOptions,
    )
    from harness.contract.gradients import (
        Differentiable as Differentiable,
        Gradients as Gradients,
        Scalar as Scalar,
    )
    from harness.contract.intervention import (
        Intervention as Intervention,
        InterventionOptions as InterventionOptions,
        PairedIntervention as PairedIntervention,
        PairedSaeIntervention as PairedSaeIntervention,
        SaeIntervention as SaeIntervention,
    )
    from harness.contract.latents import Latents as Latents
    from harness.contract.metric import (
        Metric as Metric,
        MetricOptions as MetricOptions,
        MetricValue as MetricValue,
        Target as Target,
    )
    from harness.contract.observer import (
        EVENTS as EVENTS,
        Artifact as Artifact,
        Effort as Effort,
        Event as Event,
        Observer as Observer,
        ObserverOptions as ObserverOptions,
        Progress as Progress,
        Records as Records,
        RunFailed as RunFailed,
        RunFinished as RunFinished,
        RunStarted as RunStarted,
        ShardFinished as ShardFinished,
        StageFinished as StageFinished,
        StageStarted as StageStarted,
        Stamp as Stamp,
        Warned as Warned,
    )
    from harness.contract.options import (
        ByHand as ByHand,
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
        Transport as Transport,
        ViewRef as ViewRef,
    )
    from harness.contract.paths import (
        FollowedPath as FollowedPath,
        GradientPath as GradientPath,
        PathScalar as PathScalar,
        PathTail as PathTail,
        midpoints as midpoints,
    )
    from harness.contract.prompts import (
        conversation as conversation,
        plain_prompt as plain_prompt,
    )
    from harness.contract.reduction import (
        Batch as Batch,
        DirectionOptions as DirectionOptions,
        Inputs as Inputs,
        Outlook as Outlook,
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
    from harness.contract.results import Results as Results
    from harness.contract.sae import (
        Calibrated as Calibrated,
        PublishedSae as PublishedSae,
        Sae as Sae,
        SaeFacts as SaeFacts,
        SaeFormat as SaeFormat,
        SaeInput as SaeInput,
        SaeOptions as SaeOptions,
        TokensLeftOut as TokensLeftOut,
    )
    from harness.contract.scalars import (
        AnswerLogProbability as AnswerLogProbability,
        FollowedOptions as FollowedOptions,
        LogitDifference as LogitDifference,
        LogOdds as LogOdds,
        Word as Word,
    )
    from harness.contract.section import (
        Figure as Figure,
        Grid as Grid,
        Panel as Panel,
        Prose as Prose,
        Section as Section,
        SectionOptions as SectionOptions,
    )
    from harness.contract.several import (
        OneRun as OneRun,
        Runs as Runs,
        SectionOfRuns as SectionOfRuns,
        SharedNumber as SharedNumber,
        Spread as Spread,
        Variant as Variant,
    )
    from harness.contract.sites import (
        Site as Site,
        parse_site as parse_site,
    )
    from harness.contract.stream_edit import StreamEdit as StreamEdit
    from harness.contract.thoughts import (
        KNOWN_MARKS as KNOWN_MARKS,
        Parted as Parted,
        ThoughtMarks as ThoughtMarks,
        part_text as part_text,
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
        PromptPart as PromptPart,
        PValues as PValues,
        Record as Record,
        Sampling as Sampling,
        Tokens as Tokens,
        Undefined as Undefined,
    )
    from harness.contract.version import CONTRACT as CONTRACT
    from harness.contract.wrapping import Wrapping as Wrapping
    from harness.contract.writing import (
        Keep as Keep,
        OneByOne as OneByOne,
        WritingModel as WritingModel,
    )

_NAMES = {
    "harness.contract.ahead": "ReadsAhead",
    "harness.contract.attributed": "",
    "harness.contract.backend": (
        "Activations Backend BackendOptions Model ModelFacts ModelPlace Native Needs Rests"
    ),
    "harness.contract.capabilities": "USUAL WRITES Capability",
    "harness.contract.checkpoint": "Checkpoint",
    "harness.contract.claims": "ClaimOutcome ClaimStatus",
    "harness.contract.described": "",
    "harness.contract.edits": "Arm Check Edit Receipt",
    "harness.contract.encodes": "Encodes",
    "harness.contract.evaluator": (
        "ANSWERS Answer Asked Benchmark BenchmarkOptions Evaluator EvaluatorOptions "
        "PartedBenchmark Score Tools Verdict"
    ),
    "harness.contract.executor": "Crew Executor ExecutorOptions Outfit Reply Worker start_worker",
    "harness.contract.export": "Export ExportedRun ExportFile ExportOptions LeftOut",
    "harness.contract.families": "Dependence FamilyOutcome",
    "harness.contract.findings": (
        "Analysis AnalysisOptions Arrays Findings Label Labels LabelsOptions"
    ),
    "harness.contract.gradients": "Differentiable Gradients Scalar",
    "harness.contract.intervention": (
        "Intervention InterventionOptions PairedIntervention PairedSaeIntervention SaeIntervention"
    ),
    "harness.contract.latents": "Latents",
    "harness.contract.metric": "Metric MetricOptions MetricValue Target",
    "harness.contract.observer": (
        "EVENTS Artifact Effort Event Observer ObserverOptions Progress Records RunFailed "
        "RunFinished RunStarted ShardFinished StageFinished StageStarted Stamp Warned"
    ),
    "harness.contract.options": (
        "ByHand DataRef DirectionRef LabelsRef LocalPath Location ModelRef Options PairRef Place "
        "Ref SaeRef ServerUrl SiteName StatisticRef Transport ViewRef"
    ),
    "harness.contract.paths": "FollowedPath GradientPath PathScalar PathTail midpoints",
    "harness.contract.prompts": "conversation plain_prompt",
    "harness.contract.reduction": (
        "Batch DirectionOptions Inputs Outlook Reads Reduction ReductionOptions Side State "
        "StatisticOptions Stream TaskView Where"
    ),
    "harness.contract.results": "Results",
    "harness.contract.sae": (
        "Calibrated PublishedSae Sae SaeFacts SaeFormat SaeInput SaeOptions TokensLeftOut"
    ),
    "harness.contract.scalars": "AnswerLogProbability FollowedOptions LogitDifference LogOdds Word",
    "harness.contract.section": "Figure Grid Panel Prose Section SectionOptions",
    "harness.contract.several": "OneRun Runs SectionOfRuns SharedNumber Spread Variant",
    "harness.contract.sites": "Site parse_site",
    "harness.contract.stream_edit": "StreamEdit",
    "harness.contract.thoughts": "KNOWN_MARKS Parted ThoughtMarks part_text",
    "harness.contract.values": (
        "JSON Axes Completion Direction Example Found Outcome Prompt PromptPart PValues Record "
        "Sampling Tokens Undefined"
    ),
    "harness.contract.version": "CONTRACT",
    "harness.contract.wrapping": "Wrapping",
    "harness.contract.writing": "Keep OneByOne WritingModel",
}
"""The modules of this package, each with what is to be had of it here."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(
    {*_HOMES, "Component", "Kind", "harness_components", "hookimpl", "hookspec"} - {"Latents"}
)


def __getattr__(name: str) -> Any:
    """A name or a module of this package, imported when first asked for: a command needs few of
    them, and `Latents`, which no one gets unasked, imports torch."""
    home = _HOMES.get(name, f"{__name__}.{name}")
    if home not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(home)
    found = globals()[name] = getattr(module, name) if name in _HOMES else module
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
