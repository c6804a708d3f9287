"""The light half of every component: the options that a task writes, without torch.

`harness.contract` re-exports all of this; plugins import it from there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol, runtime_checkable
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict

from harness.contract.sites import Site, parse_site
from harness.contract.values import (
    Axes,
    Example,
    ModelFacts,
    Needs,
    Prompt,
    Reads,
    SaeFacts,
    Stream,
    Tokens,
)


@dataclass(frozen=True)
class Ref:
    """Marks an options field as the name of an entry of one of the task's tables."""

    table: str


@dataclass(frozen=True)
class Place:
    """Marks an options field as a path beside its task file or, with `hub`, a hub id."""

    hub: bool = False


def _site_text(text: str) -> str:
    parse_site(text)
    return text


def _server_base(text: str) -> str:
    """The address without endpoint and version, which the client adds."""
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or re.search(r"[^!-~]", text):
        raise ValueError('must be a URL such as "http://localhost:8000"')
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be a URL without key, query or fragment; see api_key_variable")
    base = text.rstrip("/").removesuffix("/completions").removesuffix("/chat")
    return base.removesuffix("/v1")


ModelRef = Annotated[str, Ref("models")]
ViewRef = Annotated[str, Ref("views")]
SaeRef = Annotated[str, Ref("saes")]
DataRef = Annotated[str, Ref("data")]
DirectionRef = Annotated[str, Ref("directions")]
PairRef = Annotated[str, Ref("pairs")]
Location = Annotated[str, Place(hub=True)]
LocalPath = Annotated[str, Place()]
StatisticRef = Annotated[str, Ref("statistics")]
LabelsRef = Annotated[str, Ref("labels")]
ServerUrl = Annotated[str, AfterValidator(_server_base)]
"""The address of an OpenAI-compatible server, without the path of an endpoint."""
SiteName = Annotated[str, AfterValidator(_site_text)]


class Options(BaseModel):
    """What a task writes for a component; unknown keys are errors; every field has a docstring."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class BackendOptions(Options):
    """Options of a backend; reads facts from configuration files and headers, offline."""

    def describe(self) -> ModelFacts:
        """Facts without reading a weight; fields stay None where nothing local tells them."""
        return ModelFacts()

    def runs_remote_code(self) -> bool:
        """Whether loading runs code that came with the model; the command line must allow it."""
        return False

    def needs(self) -> Needs:
        """What `harness plan` asks beside the facts, from the same files."""
        return Needs()

    def render(self, examples: Sequence[Example], prompt: Prompt) -> Sequence[Tokens] | None:
        """What `Model.render` will give, from local files and without importing torch.

        None where no local file tells; then `harness plan` estimates from the characters.
        """
        return None


class SaeOptions(Options):
    """Options of an SAE format."""

    def describe(self) -> SaeFacts:
        """Facts without reading a weight; fields stay None where nothing local tells them."""
        return SaeFacts()

    def needs(self) -> Needs:
        """What `harness plan` asks beside the facts, from the same files."""
        return Needs()

    @classmethod
    def claims(cls, path: str) -> bool:
        """Whether the local folder or file `path` is in this format."""
        return False


class MetricOptions(Options):
    """Options of a metric: two pure functions over sums (see `Metric`)."""

    paired: ClassVar[bool] = True
    """Whether one number needs both sides of a pair; otherwise each side is measured."""
    on_sae: ClassVar[bool] = True
    """Whether it needs an SAE. One that does not is measured at every site, with or without one."""
    on_logits: ClassVar[bool] = False
    """Whether it reads next-token logits instead of a site: it is measured once for each stream."""


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


class InterventionOptions(Options):
    """Options of an intervention."""

    on_sae: ClassVar[bool] = False
    """Whether its edits run the SAE that the direction was made with (see `SaeIntervention`)."""

    def beside(self) -> str | None:
        """The view whose activations of the same tokens its edits need (see
        `PairedIntervention`); then it is for views that read, not for completions."""
        return None


class EvaluatorOptions(Options):
    """Options of an evaluator of completions. The models that it names are given to `judge`."""

    batch: ClassVar[int] = 32
    """How many completions a model that it names reads together, for `harness plan`."""

    def around(self) -> str | None:
        """What such a model reads around a prompt and its completion; None where it varies."""
        return None


class BenchmarkOptions(EvaluatorOptions):
    """Options of an evaluator that runs a benchmark on an edited model (see `Benchmark`)."""

    def forwards(self) -> int | None:
        """How many prompts it reads in each arm, for `harness plan`; None where nothing tells."""
        return None


class LabelsOptions(Options):
    """Options of a source of labels: descriptions of an SAE's features (see `Labels`)."""


class AnalysisOptions(Options):
    """Options of an analysis. Models that it names are in `Findings.tools`."""


class SectionOptions(Options):
    """Options of a section of the report; all of them have defaults."""


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
