"""The folder of a run: it holds one task's run, and one process writes to it."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UsageError
from harness.machine import machine_errors
from harness.results.folder import FOLDERS, IDENTITY, MEMORIES
from harness.store.files import remove_partial, write_text
from harness.store.notes import CHANGED, dropped
from harness.task.moved import moved_hash
from harness.task.task import Task, task_hash, written_hash

_HASH = re.compile("[0-9a-f]{64}")
_CONTROL = ("Cc", "Cs", "Zl", "Zp")
_NO_PLACE = (errno.ENOENT, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP)
"""What the system says where it has no place for folders, such as in /proc."""


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
        _check_place(folder)
        known = (folder / IDENTITY).is_file()
        if folder.is_dir() and not known and any(map(_foreign, folder.iterdir())):
            raise UsageError(
                f"{folder}: holds other files and no run. Name an empty or a new folder."
            )
        _make(folder)
        if not fresh:
            _check_links(folder)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"{folder}: another run is using it. Wait for it, or name another with --out."
            ) from error
        _claim(folder, task, fresh)
        with machine_errors(folder):
            remove_partial(folder)
        yield folder
    finally:
        os.close(lock)


def _check_place(folder: Path) -> None:
    """Raises UsageError for a name that no terminal shows as it is, and for links to nowhere."""
    if any(unicodedata.category(character) in _CONTROL for character in str(folder)):
        raise UsageError(
            f"--out: {str(folder)!r} has a control character in it, such as the end of a line. "
            "Allowed: any other characters. Name another folder."
        )
    for place in (folder, *folder.parents):
        if place.is_symlink() and not place.exists():
            raise UsageError(
                f"{place}: is a link that leads to nothing, or to itself. Allowed: a folder, a "
                "link to one, or a place for a new one. Remove the link, or name another folder "
                "with --out."
            )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        raise UsageError(
            f"{folder}: no folder can be made there: {error.strerror}. Name another folder with "
            "--out."
        ) from error


def _check_links(folder: Path) -> None:
    """Raises UsageError where a folder of the run is a link: another place has no lock."""
    for name in FOLDERS:
        if (folder / name).is_symlink():
            raise UsageError(
                f"{folder / name}: is a link, and a run writes into its own folder alone. Remove "
                "the link, or let the whole folder of the run be a link."
            )


def _foreign(path: Path) -> bool:
    """Whether a file is none that a run leaves before its folder is marked."""
    return path.name != ".lock" and not path.name.endswith(".partial")


def _claim(folder: Path, task: Task, fresh: bool) -> None:
    """Marks a folder as the task's, by its hash and by that of the task with its files moved."""
    identity = folder / IDENTITY
    mine = list(dict.fromkeys([task_hash(task), moved_hash(task), written_hash(task)]))
    if fresh:
        # Memories go last: without them, what is left would count as measured before.
        for path in sorted(folder.iterdir(), key=lambda path: path.name in MEMORIES):
            if path.name not in (IDENTITY, ".lock"):
                # A link is removed, never what it points to.
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    elif identity.exists():
        with identity.open("rb") as file:
            found = file.read(400).decode("ascii", "replace").split()
        if not found or not all(map(_HASH.fullmatch, found)):
            dropped(identity, 1, "remembered line", f"{CHANGED}, so nothing says whose run this is")
        elif not {*found} & {*mine}:
            raise UsageError(
                f"{folder}: holds a run of another task, or of this one before it was changed. "
                "Name another folder with --out, or start over with --fresh."
            )
    write_text(identity, "\n".join(mine) + "\n")
