"""What `harness plugins check` tries the executors on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

Samples = Iterator[partial[None]]


def local(folder: Path) -> Samples:
    """None yet."""
    yield from ()


def ray(folder: Path) -> Samples:
    """None yet."""
    yield from ()


def slurm(folder: Path) -> Samples:
    """None yet."""
    yield from ()
