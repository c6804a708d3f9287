"""What `harness plugins check` tries the executors on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.testing import check_executor
from harness_executors.local import Local, most_taken
from harness_executors.options import LocalOptions

Samples = Iterator[partial[None]]


def local(folder: Path) -> Samples:
    """The head alone, and with one and two others: they share whatever there is."""
    for workers in (1, 2, 3):
        place = folder / str(workers)
        place.mkdir()
        ahead = most_taken(workers)
        yield partial(check_executor, Local, LocalOptions(workers=workers), place, ahead=ahead)


def ray(folder: Path) -> Samples:
    """None yet."""
    yield from ()


def slurm(folder: Path) -> Samples:
    """None yet."""
    yield from ()
