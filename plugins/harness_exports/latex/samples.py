"""What the laws of `latex` are tried on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.testing import check_export, small_run
from harness_exports.latex.export import Latex
from harness_exports.latex.options import LatexOptions
from harness_exports.latex.strict import read_tables

Cases = Iterator[partial[None]]


def latex(folder: Path) -> Cases:
    """On a usual page, and on one so narrow that each table is in parts."""
    run = small_run(folder / "run")
    for page in (110, 40):
        yield partial(check_export, Latex(LatexOptions(page=page)), run, read=read_tables)
