"""The folder of a run: it holds one task's run, and one process writes to it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.contract import Ref
from harness.errors import UsageError
from harness.machine import machine_errors
from harness.store.files import write_text
from harness.task.task import Task
from harness.task.validate import marks

IDENTITY = ".task"
_BESIDE = ("evaluators", "expect")
"""Keys of an experiment that change no completion: who judges, and what a plan goes by."""
_JUDGES = ("title", "source", "evaluators", "labels", "analyses", "gates")
"""Tables and keys that change neither an activation nor a completion."""


def task_hash(task: Task) -> str:
    """Hash of the resolved task, as far as activations and completions depend on it.

    Left out are titles, expectations, judges and what is made of their verdicts, so that another
    judge reads the completions that are there already; what a judge has said is remembered by its
    own content.
    """
    values = {key: value for key, value in task.resolved.items() if key not in _JUDGES}
    judging = set(task.spec.models) - set(_models(task))
    values["models"] = {
        key: value for key, value in values.get("models", {}).items() if key not in judging
    }
    values["experiments"] = {
        key: {name: value for name, value in table.items() if name not in _BESIDE}
        for key, table in values.get("experiments", {}).items()
    }
    values["data"] = {
        key: {name: value for name, value in table.items() if name != "expect"}
        for key, table in values.get("data", {}).items()
    }
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _models(task: Task) -> Iterator[str]:
    """The models that anything but a judge looks at."""
    yield from (view.model for view in task.spec.views.values())
    yield from (sae.model for sae in task.spec.saes.values())
    swept = [*task.directions.values(), *task.statistics.values()]
    looking: list[BaseModel] = [one.options for many in swept for one in many]
    for entries in (task.saes, task.metrics, task.interventions):
        looking += [entry.options for entry in entries.values()]
    for options in looking:
        for key, mark in marks(type(options)):
            if isinstance(mark, Ref) and mark.table == "models":
                named = getattr(options, key)
                yield from [named] if isinstance(named, str) else named or ()


def default_folder(task: Task) -> Path:
    """`runs/<name>-<hash of the task>`, so that the same command continues its own run."""
    return Path("runs") / f"{task.spec.name}-{task_hash(task)[:8]}"


@contextmanager
def run_folder(folder: Path, task: Task, fresh: bool) -> Iterator[Path]:
    """Creates the folder, locks it for as long as the block runs, and marks it as the task's.

    `fresh` removes an earlier run first. Raises UsageError where another process uses the folder,
    where it holds a run of another task, or files that are not a run's.
    """
    with machine_errors(folder):
        known = (folder / IDENTITY).exists()
        if folder.is_dir() and not known and any(map(_foreign, folder.iterdir())):
            raise UsageError(
                f"{folder}: holds other files and no run. Name an empty or a new folder."
            )
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"{folder}: another run is using it. Wait for it, or name another with --out."
            ) from error
        _claim(folder, task, fresh)
        yield folder
    finally:
        os.close(lock)


def _foreign(path: Path) -> bool:
    """Whether a file is none that a run leaves before its folder is marked."""
    return path.name != ".lock" and not path.name.endswith(".partial")


def _claim(folder: Path, task: Task, fresh: bool) -> None:
    identity = folder / IDENTITY
    mine = task_hash(task)
    if fresh:
        for path in folder.iterdir():
            if path.name not in (IDENTITY, ".lock"):
                # A link is removed, never what it points to.
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    elif identity.exists() and identity.read_text().strip() != mine:
        raise UsageError(
            f"{folder}: holds a run of another task, or of this one before it was changed. "
            "Name another folder with --out, or start over with --fresh."
        )
    write_text(identity, mine + "\n")


def plain(value: Any) -> Any:
    """Values as TOML can hold them: no None."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items() if inner is not None}
    return [plain(inner) for inner in value] if isinstance(value, list) else value
