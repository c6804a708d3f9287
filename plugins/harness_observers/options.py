"""What a task may write for the observers. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.contract import ObserverOptions


class JsonlOptions(ObserverOptions):
    """Options of `jsonl`."""

    file: str = Field("events.jsonl", pattern=r"^events[\w-]*\.jsonl$", max_length=80)
    """The name of the file in the run's folder: `events.jsonl`, or `events-` and something else."""


class TrackerOptions(ObserverOptions):
    """What the options of all trackers have in common."""

    patience: float = Field(60.0, ge=0, le=600)
    """Seconds that the end of a run waits for the tracker, at most: it may have to upload. What it
    has not taken by then it is not told."""
    project: str = Field("sae-harness", min_length=1, max_length=120)
    """The project (in MLflow: the experiment) that the run is filed under."""
    name: str | None = Field(None, min_length=1, max_length=120)
    """What the tracker calls the run; without it, the name of the task."""
    report: bool = True
    """Whether `report.html` is kept there, too. It quotes what models wrote."""


class WandbOptions(TrackerOptions):
    """Options of `wandb`."""

    entity: str | None = None
    """The user or team; without it, the default of the account."""
    group: str | None = None
    """The group of the run; without it, the name of the task."""
    mode: Literal["online", "offline", "disabled"] | None = None
    """`offline` keeps everything on disk, for `wandb sync`. Without it, what WANDB_MODE says."""
    folder: str | None = None
    """Where files are kept; without it, the run's folder, in which they lie in `wandb/`."""


class TrackioOptions(TrackerOptions):
    """Options of `trackio`."""

    group: str | None = None
    """The group of the run; without it, the name of the task."""
    space: str | None = None
    """A Hugging Face Space, `owner/name`, that shows the run; without it, everything stays on this
    machine, and `trackio show` shows it."""


class MlflowOptions(TrackerOptions):
    """Options of `mlflow`."""

    uri: str | None = None
    """Where MLflow keeps runs: the URL of a server without a password, `sqlite:///FILE`. Without
    it, what MLFLOW_TRACKING_URI says, or MLflow's own default."""
