"""The observer `wandb`: a run on Weights & Biases. Imports wandb."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from harness.contract import RunStarted
from harness.errors import UsageError
from harness_observers.options import WandbOptions
from harness_observers.tracker import Ending, Tracker


class Wandb(Tracker):
    """A run on Weights & Biases: records as metrics, all of them as a table, the report as an
    artifact.

    A metric is called `id/axis_value/…`; W&B sorts and filters by letters, digits and `_` alone, so
    anything else is `_`. The terminal, the source code, the command line and the machine are not
    looked at. A run that goes on is a new run, in the same group. Source: docs.wandb.ai.
    """

    allowed = "A-Za-z0-9_"
    joint = "_"

    def __init__(self, options: WandbOptions) -> None:
        super().__init__(options)
        self._options = options
        self._run: Any = None
        self._name = ""

    def begin(self, started: RunStarted, config: Mapping[str, Any]) -> None:
        """Opens the run, beside one of the caller's that may be open."""
        options = self._options
        mode = options.mode or os.environ.get("WANDB_MODE") or "online"
        if mode == "online" and not wandb.login(prompt=False, verify=False):
            raise UsageError(
                "wandb: nobody is logged in. Allowed: a key in WANDB_API_KEY, `wandb login`, or "
                'mode = "offline" (WANDB_MODE=offline), for `wandb sync` later.'
            )
        folder = Path(options.folder or started.folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._name = started.name
        self._run = wandb.init(
            project=options.project,
            entity=options.entity,
            name=options.name or started.name,
            group=options.group or started.name,
            job_type="sae-harness",
            dir=str(folder),
            mode=mode,
            config=dict(config),
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                save_code=False,
                x_disable_meta=True,
                x_disable_stats=True,
                x_disable_machine_info=True,
                x_save_requirements=False,
            ),
        )

    def log(self, numbers: Mapping[str, float]) -> None:
        """Logs the numbers as the next step."""
        self._run.log(dict(numbers))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Logs the table `records`."""
        data = [list(row) for row in rows]
        made = wandb.Table(columns=list(columns), data=data, allow_mixed_types=True)
        self._run.log({"records": made})

    def file(self, name: str, path: Path) -> None:
        """Logs the file as an artifact of the type `name`."""
        artifact = wandb.Artifact(self._names.clean(f"{self._name}-{name}"), type=name)
        artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def end(self, ending: Ending, summary: Mapping[str, Any]) -> None:
        """Finishes the run; one that is not complete counts as failed."""
        self._run.summary.update(dict(summary))
        self._run.finish(exit_code=0 if ending == "finished" else 1)
