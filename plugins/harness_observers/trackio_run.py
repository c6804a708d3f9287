"""The observer `trackio`: a run of Trackio. Imports trackio."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trackio
from trackio import deploy, run as trackio_run, utils

from harness.contract import RunStarted
from harness_observers.options import TrackioOptions
from harness_observers.tracker import Ending, Tracker

_MARKDOWN = re.compile(r"([\\`\[\]!<])")
"""What makes a picture, a link or HTML of a cell."""


class Trackio(Tracker):
    """A run of Trackio: records as metrics, all of them as a table, the report as an artifact.

    A metric is called `id/axis=value/…`. Without a Space everything stays on this machine, where
    TRACKIO_DIR says; a Space that is made is private. The machine is not looked at. A run that goes
    on is a new run, in the same group. Source: huggingface.co/docs/trackio.
    """

    allowed = r"\w\-. =@:+,"

    def __init__(self, options: TrackioOptions) -> None:
        super().__init__(options)
        self._options = options
        self._run: Any = None

    def begin(self, started: RunStarted, config: Mapping[str, Any]) -> None:
        """Opens the run."""
        _quiet()
        options = self._options
        self._run = trackio.init(
            project=options.project,
            name=f"{options.name or started.name}-{started.stamp.run[:6]}",
            group=options.group or started.name,
            space_id=options.space,
            private=True if options.space else None,
            config=dict(config),
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, numbers: Mapping[str, float]) -> None:
        """Logs the numbers as the next step."""
        self._run.log(dict(numbers))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Logs the table `records`; Trackio reads its cells as Markdown, so they are escaped."""
        data = [[_text(cell) for cell in row] for row in rows]
        self._run.log({"records": trackio.Table(columns=list(columns), data=data)})

    def file(self, name: str, path: Path) -> None:
        """Logs the file as an artifact of the type `name`."""
        self._run.log_artifact(str(path), name=f"{name}-{self._run.id}", type=name)

    def end(self, ending: Ending, summary: Mapping[str, Any]) -> None:
        """Logs how the run ended, and finishes it."""
        texts = [str(summary["status"]), *summary["problems"], *summary["warnings"]]
        kinds = ["status", *("problem" for _ in summary["problems"])]
        kinds += ["warning"] * (len(texts) - len(kinds))
        data = [[kind, _text(text)] for kind, text in zip(kinds, texts, strict=True)]
        self._run.log({"outcome": trackio.Table(columns=["what", "text"], data=data)})
        self._run.finish()


def _text(cell: Any) -> Any:
    return _MARKDOWN.sub(r"\\\1", cell) if isinstance(cell, str) else cell


def _quiet() -> None:
    """Keeps Trackio's remarks to itself: stdout is for the answer of the run, and to turn all of
    stdout elsewhere from this thread would turn the run's own, too."""
    for module in (trackio, trackio_run, utils, deploy):
        vars(module)["print"] = lambda *texts, **how: None
