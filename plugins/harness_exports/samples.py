"""What the laws are tried on, by `harness plugins check`: each export on a small run."""

from __future__ import annotations

import csv as csv_files
import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from harness.testing import check_export, small_run
from harness_exports.csv.export import Csv
from harness_exports.figures.export import Figures
from harness_exports.latex.export import Latex
from harness_exports.latex.strict import read_tables
from harness_exports.options import CsvOptions, FiguresOptions, LatexOptions

Cases = Iterator[partial[None]]


def figures(folder: Path) -> Cases:
    """Pictures as SVG; those in pixels need what may not be installed."""
    run = small_run(folder / "run")
    yield partial(check_export, Figures(FiguresOptions()), run, read=_pictures)


def _pictures(files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        json.loads(content) if path.endswith(".json") else ElementTree.fromstring(content)


def csv(folder: Path) -> Cases:
    """With completions, and without."""
    run = small_run(folder / "run")
    for completions in (True, False):
        yield partial(check_export, Csv(CsvOptions(completions=completions)), run, read=csv_tables)


def latex(folder: Path) -> Cases:
    """On a usual page, and on one so narrow that each table is in parts."""
    run = small_run(folder / "run")
    for page in (110, 40):
        yield partial(check_export, Latex(LatexOptions(page=page)), run, read=read_tables)


_BARE = re.compile(r"true|false|-?\d+(\.\d+)?(e[+-]?\d+)?|")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def csv_tables(files: Mapping[str, bytes]) -> dict[str, list[list[str]]]:
    """The cells of each file. ValueError where it is not RFC 4180, lines have different lengths, or
    a spreadsheet would run a cell."""
    return {path: _cells(path, content.decode("utf-8")) for path, content in files.items()}


def _cells(path: str, text: str) -> list[list[str]]:
    rows = list(csv_files.reader(text.splitlines(keepends=True), strict=True))
    if not text.endswith("\r\n") or len({len(row) for row in rows}) != 1:
        raise ValueError(f"{path}: its lines are not alike")
    bare = _QUOTED.sub('"', text).replace("\r\n", ",")
    wrong = [cell for cell in bare.split(",") if cell != '"' and not _BARE.fullmatch(cell)]
    runs = [one for one in _QUOTED.findall(text) if one.strip()[:1] in [*"=+-@\t\r"]]
    if wrong or runs:
        raise ValueError(f"{path}: {[*wrong, *runs][:3]}")
    return rows
