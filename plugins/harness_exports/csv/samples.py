"""What the laws of `csv` are tried on."""

from __future__ import annotations

import csv as csv_files
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from harness.testing import check_export, small_run
from harness_exports.csv.export import Csv
from harness_exports.csv.options import CsvOptions

Cases = Iterator[partial[None]]


def csv(folder: Path) -> Cases:
    """With completions, and without."""
    run = small_run(folder / "run")
    for completions in (True, False):
        yield partial(check_export, Csv(CsvOptions(completions=completions)), run, read=csv_tables)


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
