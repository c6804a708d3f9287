"""The folder of a run: it holds one task's run, and one process writes to it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UsageError
from harness.machine import machine_errors
from harness.store.files import write_text
from harness.task.task import Task, task_hash

IDENTITY = ".task"


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
