"""What options may ask about a task before it runs, to say what will come out undefined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from harness.contract.reduction import StatisticOptions, TaskView
from harness.contract.sites import Site
from harness.contract.values import Axes


@runtime_checkable
class Outlook(TaskView, Protocol):
    """The rest of the task, by names in it: what `foresee` is given."""

    def statistic(self, name: str) -> Sequence[StatisticOptions]:
        """The options of a statistic, for each combination of its sweep."""

    def axes_of(self, pair: str) -> Axes:
        """The axes that a pair gives all that is measured on it."""

    def width(self, view: str, site: Site) -> int | None:
        """Numbers per token at a site of a view's model, where known."""
