"""What the laws are tried on, by `harness plugins check`. Trackers are tried without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from harness.contract import Event
from harness.testing import check_observer
from harness_observers.jsonl import Jsonl
from harness_observers.options import JsonlOptions, MlflowOptions, TrackioOptions, WandbOptions


def jsonl(folder: Path) -> Iterator[partial[None]]:
    """A log in the run's folder."""
    yield partial(check_observer, Jsonl, JsonlOptions(), folder, kept=_logged)


def wandb(folder: Path) -> Iterator[partial[None]]:
    """A run that is kept for `wandb sync`."""
    from harness_observers.wandb_run import Wandb

    options = WandbOptions(mode="offline", folder=str(folder / "runs"))
    yield partial(check_observer, Wandb, options, folder)


def trackio(folder: Path) -> Iterator[partial[None]]:
    """A run on this machine."""
    from harness_observers.trackio_run import Trackio

    yield partial(check_observer, Trackio, TrackioOptions(project="sae-harness-check"), folder)


def mlflow(folder: Path) -> Iterator[partial[None]]:
    """A run in a database in the folder."""
    from mlflow.tracking import MlflowClient

    from harness_observers.mlflow_run import Mlflow

    options = MlflowOptions(uri=f"sqlite:///{folder}/mlflow.db")
    # Else MLflow puts the artifacts of a database into `mlruns`, wherever this was called.
    client = MlflowClient(tracking_uri=options.uri)
    client.create_experiment(options.project, artifact_location=(folder / "artifacts").as_uri())
    yield partial(check_observer, Mlflow, options, folder)


def _logged(folder: Path, events: Sequence[Event]) -> bool:
    """Whether the log begins with the events, one line each."""
    lines = (folder / "events.jsonl").read_bytes().splitlines()
    found = [json.loads(line) for line in lines[: len(events)]]
    return [(one["event"], one["number"]) for one in found] == [
        (event.kind, event.stamp.number) for event in events
    ]
