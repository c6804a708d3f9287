"""What the laws of `figures` are tried on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from harness.testing import check_export, small_run
from harness_exports.figures.export import Figures
from harness_exports.figures.options import FiguresOptions

Cases = Iterator[partial[None]]


def figures(folder: Path) -> Cases:
    """Pictures as SVG; those in pixels need what may not be installed."""
    run = small_run(folder / "run")
    yield partial(check_export, Figures(FiguresOptions()), run, read=_pictures)


def _pictures(files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        json.loads(content) if path.endswith(".json") else ElementTree.fromstring(content)
