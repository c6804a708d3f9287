"""A run's folder: whose it is, and that nobody else is writing to it."""

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
    """`runs/<name>-<hash>`: the same command finds the same folder, and continues there."""
    return Path("runs") / f"{task.spec.name}-{task_hash(task)[:8]}"


@contextmanager
def run_folder(folder: Path, task: Task, fresh: bool) -> Iterator[Path]:
    """The folder, created and locked for as long as the block runs.

    Raises UsageError when another run is using it, when it holds a run of another task, or when
    it holds files that are no run of ours; `fresh` removes an earlier run first.
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
    """Whether a file is not one that a run leaves before it has said whose it is."""
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
