"""What a task may write. Imports no torch."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from harness.contract import (
    AnalysisOptions,
    DataRef,
    DirectionOptions,
    EvaluatorOptions,
    InterventionOptions,
    LabelsOptions,
    LocalPath,
    MetricOptions,
    Reads,
    SectionOptions,
    SiteName,
    StatisticOptions,
    Stream,
    TaskView,
    ViewRef,
    parse_site,
)


class EffectiveDimensionsOptions(MetricOptions):
    """It has none."""

    paired: ClassVar[bool] = False
    on_sae: ClassVar[bool] = False


class ScaledMeansOptions(DirectionOptions):
    """Options of `scaled_means`."""

    view: ViewRef
    """The view whose activations are averaged."""
    site: SiteName
    """Where, such as `resid_post.3`."""
    positive: DataRef
    """The direction points towards these."""
    negative: DataRef
    """And away from these."""
    floor: float = Field(1e-6, gt=0)
    """What is added to each variance, in squared units of the activations."""

    def reads(self, task: TaskView) -> Reads:
        """The last token of each prompt, of both sets."""
        streams = (
            Stream("positive", self.view, self.positive, tokens="last"),
            Stream("negative", self.view, self.negative, tokens="last"),
        )
        return Reads(streams=streams, sites=(parse_site(self.site),))


class TurnOptions(InterventionOptions):
    """Options of `turn`."""

    strength: float = 1.0
    """How long the added direction is, in lengths of the activation; 0 changes nothing."""


class TailsOptions(StatisticOptions):
    """Options of `tails`."""

    view: ViewRef
    """The view."""
    data: DataRef
    """The text."""
    site: SiteName
    """Where, such as `resid_post.3`."""

    def reads(self, task: TaskView) -> Reads:
        """One view at the site."""
        stream = Stream("view", self.view, self.data)
        return Reads(streams=(stream,), sites=(parse_site(self.site),))


class SentencesOptions(EvaluatorOptions):
    """Options of `sentences`."""

    ends: str = ".!?"
    """The characters that end a sentence."""


class GlossaryOptions(LabelsOptions):
    """Options of `glossary`."""

    path: LocalPath
    """A TOML file with a table for each SAE: feature = "what it means"."""


class RangeOfOptions(AnalysisOptions):
    """Options of `range_of`."""

    record: str
    """The id of the records, with its version, such as `l0@1`."""


class BySizeOptions(SectionOptions):
    """Options of `by_size`."""

    most: int = 20
    """How many numbers are shown."""
