"""What a task may write. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from harness.contract import (
    BackendOptions,
    DataRef,
    EvaluatorOptions,
    LocalPath,
    MetricOptions,
    Reads,
    SaeFacts,
    SaeOptions,
    SiteName,
    StatisticOptions,
    Stream,
    TaskView,
    ViewRef,
    parse_site,
)
from harness.errors import ModelError


class SumsOptions(StatisticOptions):
    """Where a peak is looked for."""

    view: ViewRef
    """The view."""
    data: DataRef
    """The text."""
    site: SiteName
    """The site."""

    def reads(self, task: TaskView) -> Reads:
        """One view at the site."""
        stream = Stream("view", self.view, self.data)
        return Reads(streams=(stream,), sites=(parse_site(self.site),))


class SpreadOptions(MetricOptions):
    """It has none."""

    paired: ClassVar[bool] = False
    on_sae: ClassVar[bool] = False


class PlainOptions(SaeOptions):
    """Where the weights are."""

    path: LocalPath
    """A file of numpy, with two numbers: width and seed."""

    def describe(self) -> SaeFacts:
        """Its widths; ModelError where the file has none."""
        try:
            width = int(Path(self.path).read_text("ascii").split()[0])
        except (OSError, ValueError, IndexError) as error:
            raise ModelError(f"{self.path}: has no width ({error}). Write it again.") from error
        return SaeFacts("plain", width, 3 * width)


class SmallOptions(BackendOptions):
    """Where the model is."""

    path: LocalPath
    """A folder in the form of transformers."""


class LengthOptions(EvaluatorOptions):
    """It has none."""
