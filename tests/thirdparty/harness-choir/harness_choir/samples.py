"""What the laws are tried on, by `harness plugins check` and by the tests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.testing import check_executor
from harness_choir.choir import Choir
from harness_choir.options import ChoirOptions


def samples(folder: Path) -> Iterator[partial[None]]:
    """Three threads, with a part for each."""
    yield partial(check_executor, Choir, ChoirOptions(workers=3), folder, ahead=3)
