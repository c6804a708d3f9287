"""The runs under a folder: those that are done, those that are not, and what is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError, UsageError
from harness.results.folder import IDENTITY, RESULTS
from harness.results.read import load_results
from harness.several.order import natural
from harness.several.summary import Summary, summary_of, without_results


@dataclass(frozen=True)
class Listing:
    """The runs under a folder, by path, and what could not be read, a line each."""

    folder: Path
    runs: tuple[Summary, ...]
    notes: tuple[str, ...]


def list_runs(folder: Path) -> Listing:
    """The runs in a folder and in the folders below it; one run's results are held at a time.

    Raises UsageError where there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: is no folder. Name one that holds folders of runs.")
    notes: list[str] = []
    runs = [run for each in _folders(folder, notes) for run in _summary(each, notes)]
    return Listing(folder, tuple(runs), tuple(notes))


def _folders(folder: Path, notes: list[str]) -> Iterator[Path]:
    """Every folder of a run, by path. What lies in one belongs to it and is not looked through.

    Links are not followed: what they lead to is listed where it lies.
    """

    def unreadable(error: OSError) -> None:
        notes.append(f"{error.filename}: cannot be read: {error.strerror}.")

    for here, below, files in os.walk(folder, onerror=unreadable):
        if RESULTS in files or IDENTITY in files:
            below.clear()
            yield Path(here)
        below[:] = sorted((name for name in below if not name.startswith(".")), key=natural)


def _summary(folder: Path, notes: list[str]) -> Iterator[Summary]:
    if not (folder / RESULTS).exists():
        yield without_results(folder, "unfinished")
        return
    try:
        yield summary_of(folder, load_results(folder))
    except DataError as error:
        notes.append(str(error))
        if (folder / IDENTITY).exists():
            yield without_results(folder, "unreadable")
