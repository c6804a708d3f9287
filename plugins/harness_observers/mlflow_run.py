"""The observer `mlflow`: a run in MLflow. Imports mlflow."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from harness.contract import RunStarted
from harness_observers.options import MlflowOptions
from harness_observers.tracker import Ending, Tracker

_STATUS: Mapping[Ending, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
_LONGEST = 5000
"""Characters of a tag that every store takes."""


class Mlflow(Tracker):
    """A run in MLflow: records as metrics, all of them as a table, the report as an artifact.

    A metric is called `id/axis value/…`; MLflow allows letters, digits, `_`, `-`, `.`, `/` and
    blanks, so anything else is `_`. The task is the artifact `task.json`. Nothing of the caller's
    own MLflow session changes: this has a client of its own. Source: mlflow.org/docs.
    """

    allowed = r"A-Za-z0-9_\-. "
    joint = " "

    def __init__(self, options: MlflowOptions) -> None:
        super().__init__(options)
        self._options = options
        self._client = MlflowClient(tracking_uri=options.uri)
        self._run = ""
        self._steps: dict[str, int] = {}

    def begin(self, started: RunStarted, config: Mapping[str, Any]) -> None:
        """Creates the run, and the experiment where there is none of this name."""
        options, client = self._options, self._client
        found = client.get_experiment_by_name(options.project)
        experiment = found.experiment_id if found else client.create_experiment(options.project)
        tags = {
            "harness.run": started.stamp.run,
            "harness.version": started.version,
            "harness.folder": started.folder,
            "mlflow.note.content": started.title,
        }
        begun, name = round(1000 * started.stamp.time), options.name or started.name
        run = client.create_run(experiment, start_time=begun, tags=tags, run_name=name)
        self._run = run.info.run_id
        client.log_param(self._run, "task", started.name)
        client.log_dict(self._run, dict(config["task"]), "task.json")

    def log(self, numbers: Mapping[str, float]) -> None:
        """Logs each number as the next step of its metric."""
        metrics, now = [], round(1000 * time.time())
        for name, number in numbers.items():
            step = self._steps[name] = self._steps.get(name, -1) + 1
            metrics.append(Metric(name, number, now, step))
        for start in range(0, len(metrics), 1000):  # as many as a server takes at once
            self._client.log_batch(self._run, metrics=metrics[start : start + 1000])

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Keeps the table as `records.json`, which MLflow shows as one."""
        data = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
        self._client.log_table(self._run, data, "records.json")

    def file(self, name: str, path: Path) -> None:
        """Keeps the file among the artifacts of the run."""
        self._client.log_artifact(self._run, str(path))

    def end(self, ending: Ending, summary: Mapping[str, Any]) -> None:
        """Tags the run with its status, and ends it."""
        self._client.set_tag(self._run, "harness.status", summary["status"])
        for key in ("problems", "warnings"):
            if texts := summary[key]:
                self._client.set_tag(self._run, f"harness.{key}", "\n".join(texts)[:_LONGEST])
        self._client.set_terminated(self._run, status=_STATUS[ending])
