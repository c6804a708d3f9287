"""A file that says how far a run is, and how it ended."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness.contract import (
    Event,
    Progress,
    Records,
    RunFailed,
    RunFinished,
    RunStarted,
    StageFinished,
    StageStarted,
    Warned,
)
from harness.errors import MachineError
from lookout_harness.options import LookoutOptions

NAME = "lookout.json"
EARLIER = 10
"""How many earlier runs are kept."""
STOPPED = 130
"""The exit code of a run that a person stopped."""
KEPT = ("run", "status", "stage", "updated")
"""What is kept of an earlier run."""


class Lookout:
    """Keeps one JSON object, which is replaced as a whole.

    Fields: `run`, `name`, `resumed`; `status`, `started`, `updated` (seconds since 1970); of the
    stage that began last and has not ended `stage`, `done`, `total`, `share` (0 to 1),
    `tokens_per_second`, each None where unknown; `finished` with the stages that have ended;
    how many `records` and `warnings` there were, and how many events were `missed`; `earlier`,
    the last runs in this file and how they ended. With the option `texts`: `warning`,
    `problems`, `error`.
    """

    def __init__(self, options: LookoutOptions) -> None:
        self._options = options
        self._file: Path | None = None
        self._open: dict[str, dict[str, Any]] = {}
        self._expected = 0
        self._written: float | None = None
        self._said: dict[str, Any] = {
            "run": None,
            "name": None,
            "resumed": None,
            "status": "running",
            "started": None,
            "updated": None,
            **_stage(None, None, None),
            "finished": [],
            "records": 0,
            "warnings": 0,
            "missed": 0,
            "earlier": [],
        }

    def see(self, event: Event) -> None:
        """Takes an event, and writes the file where it says something new."""
        now, said = event.stamp.time, self._said
        if said["run"] is None:
            said |= {"run": event.stamp.run, "started": now}
        said["missed"] += max(0, event.stamp.number - self._expected)
        self._expected = max(self._expected, event.stamp.number + 1)
        said["updated"] = now
        at_once = self._take(event)
        passed = None if self._written is None else now - self._written
        if at_once or passed is None or not 0 <= passed < self._options.every:
            self._write(now)

    def _take(self, event: Event) -> bool:
        """Whether it is so much that the file must say it at once."""
        said = self._said
        match event:
            case RunStarted():
                run = Path(event.folder)
                elsewhere = self._options.folder
                self._file = Path(elsewhere) / f"{run.name}.json" if elsewhere else run / NAME
                said |= {"name": event.name, "resumed": event.resumed}
                said["earlier"] = _earlier(self._file, event.stamp.run)
            case StageStarted():
                self._open[event.stage] = _stage(event.stage, 0, event.total)
            case Progress():
                it = _stage(event.stage, event.done, event.total)
                it["tokens_per_second"] = event.effort.tokens_per_second
                self._open[event.stage] = it
                return False
            case StageFinished():
                self._open.pop(event.stage, None)
                it = {"stage": event.stage, "done": event.done, "total": event.total}
                said["finished"].append(it | {"seconds": event.effort.seconds})
            case Records():
                said["records"] += len(event.records)
                return False
            case Warned():
                said["warnings"] += 1
                self._text("warning", event.text)
                return False
            case RunFinished():
                said["status"] = event.status
                self._text("problems", list(event.problems))
            case RunFailed():
                said["status"] = "stopped" if event.exit_code == STOPPED else "failed"
                self._text("error", event.error)
            case _:
                return event.ends
        return True

    def _text(self, name: str, value: str | list[str]) -> None:
        if self._options.texts:
            self._said[name] = value

    def _write(self, now: float) -> None:
        if self._file is None:  # the first event is missing: nobody knows where
            return
        last = list(self._open.values())[-1] if self._open else _stage(None, None, None)
        text = json.dumps(self._said | last, indent=1)
        beside = self._file.with_name(f"{self._file.name}.{os.getpid()}.tmp")
        try:
            beside.write_text(text + "\n", encoding="ascii")
            beside.replace(self._file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise MachineError(
                f"{self._file}: cannot be written ({error.strerror}). It must be a file, in a "
                "folder that you may write to. Set `folder` in [observers.lookout]."
            ) from error
        self._written = now


def _stage(stage: str | None, done: int | None, total: int | None) -> dict[str, Any]:
    share = min(done / total, 1.0) if done is not None and total else None
    return {
        "stage": stage,
        "done": done,
        "total": total,
        "share": share,
        "tokens_per_second": None,
    }


def _earlier(file: Path, run: str) -> list[dict[str, Any]]:
    """What the file says of runs before this one; nothing where it is none of ours."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        runs = [*found["earlier"], found]
        rows = [{name: one[name] for name in KEPT} for one in runs if one["run"] != run]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return []
    for row in rows:
        if row["status"] == "running":
            row["status"] = "cut off"
    return rows[-EARLIER:]
