"""What the observers of all trackers do: an event becomes metrics, a table, an artifact, a status.

A tracker says how its library takes each of these; nothing else differs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from harness.contract import (
    Artifact,
    Effort,
    Event,
    Progress,
    Record,
    Records,
    RunFailed,
    RunFinished,
    RunStarted,
    ShardFinished,
    StageFinished,
    Warned,
)
from harness_observers.names import Names, table
from harness_observers.options import TrackerOptions

Ending = Literal["finished", "failed", "stopped"]
_MOST = 100
"""Warnings that are kept."""
_INTERRUPTED = 130


class Tracker(ABC):
    """Tells a tracker of a run. Undefined numbers are no metrics; the table has them, with why."""

    allowed: ClassVar[str]
    """What may stand in the name of a metric, as in a regular expression's brackets."""
    joint: ClassVar[str] = "="
    """What stands between an axis and its value in such a name."""

    def __init__(self, options: TrackerOptions) -> None:
        self._wants_report = options.report
        self._names = Names(self.allowed, self.joint)
        self._records: list[Record] = []
        self._warnings: list[str] = []
        self._report: Path | None = None

    @abstractmethod
    def begin(self, started: RunStarted, config: Mapping[str, Any]) -> None:
        """Opens a run of the tracker."""

    @abstractmethod
    def log(self, numbers: Mapping[str, float]) -> None:
        """Adds a value to some metrics."""

    @abstractmethod
    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Keeps all records as a table."""

    @abstractmethod
    def file(self, name: str, path: Path) -> None:
        """Keeps a file as an artifact."""

    @abstractmethod
    def end(self, ending: Ending, summary: Mapping[str, Any]) -> None:
        """Closes the run."""

    def see(self, event: Event) -> None:
        """Takes an event."""
        match event:
            case RunStarted():
                config = {"task": event.task, "harness": event.version, "run": event.stamp.run}
                self.begin(event, {**config, "folder": event.folder, "resumed": event.resumed})
            case Progress() | StageFinished():
                share = event.done / event.total if event.total else float(event.done)
                name = f"progress/{event.stage.replace('/', '_')}"
                if (worker := event.stamp.worker) is None:
                    self.log({self._names.clean(name): share, **_effort(event.effort)})
                else:  # its own share: not how far the run is
                    name = f"{name}/{worker.replace('/', '_')}"
                    self.log({self._names.clean(name): share, **self._of_worker(event)})
            case ShardFinished():
                if numbers := self._of_worker(event):
                    self.log(numbers)
            case Records():
                self._records += event.records
                defined = [one for one in event.records if one.value is not None]
                if numbers := {self._names.of(one): float(one.value or 0.0) for one in defined}:
                    self.log(numbers)
            case Warned():
                self._warnings.append(event.text)
            case Artifact(name="report"):
                self._report = Path(event.path)
            case RunFinished():
                if self._report is not None and self._wants_report:
                    self.file("report", self._report)
                ending: Ending = "finished" if event.status == "complete" else "failed"
                self._close(ending, {"status": event.status, "problems": list(event.problems)})
            case RunFailed():
                stopped = event.exit_code == _INTERRUPTED
                summary = {"status": "failed", "problems": [event.error]}
                self._close("stopped" if stopped else "failed", summary)

    def _of_worker(self, event: Progress | StageFinished | ShardFinished) -> dict[str, float]:
        """What a worker's effort was, as metrics of its own; nothing where one process does all:
        the stage says the same."""
        if event.stamp.worker is None:
            return {}
        own = f"worker/{event.stamp.worker.replace('/', '_')}"
        efforts = _effort(event.effort).items()
        return {self._names.clean(f"{own}/{name}"): number for name, number in efforts}

    def _close(self, ending: Ending, summary: Mapping[str, Any]) -> None:
        if self._records:
            self.table(*table(self._records))
        self.end(ending, {**summary, "warnings": self._warnings[:_MOST]})


def _effort(effort: Effort) -> dict[str, float]:
    """What is known of the effort, as numbers."""
    known = {"tokens_per_second": effort.tokens_per_second, "memory_bytes": effort.memory}
    return {name: float(number) for name, number in known.items() if number is not None}
