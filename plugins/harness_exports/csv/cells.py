"""A table as CSV (RFC 4180) that a spreadsheet opens without running anything of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.text import visible

_RUNS = "=+-@＝＋－＠"
"""What a spreadsheet takes for the start of a formula, and full-width forms of it."""


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """The file: a head and the rows, each line ended by CR and LF.

    Texts are in quotes, and numbers, `true` and `false` are not, so that "1" is none. A value that
    is not there is an empty cell without quotes. A float is written with the digits that give it
    back to the bit.
    """
    lines = [columns, *rows]
    return "".join(",".join(map(cell, line)) + "\r\n" for line in lines)


def cell(value: Any) -> str:
    """One cell; a list or a table in it as JSON."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return repr(float(value))
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return f'"{harmless(shown)}"'


def harmless(text: str) -> str:
    """A text for inside quotes: a formula gets an apostrophe before it, a character that does
    something to a terminal or cannot be seen becomes one that can."""
    seen = visible(text, len(text)).replace('"', '""')
    runs = seen[:1] == "\t" or seen.lstrip()[:1] in [*_RUNS]
    return f"'{seen}" if runs else seen


def flattened(
    row: Mapping[str, Any], at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The cells of a row by their path: what a cell holds that is a table has cells of its own."""
    for key, value in row.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, (*at, str(key)))
        else:
            yield (*at, str(key)), value


def spread(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Columns for all that the rows have, in the order in which it first comes, and the rows."""
    found = [dict(flattened(row)) for row in rows]
    paths = list(dict.fromkeys(path for row in found for path in row))
    return told_apart([".".join(path) for path in paths]), [
        [row.get(path) for path in paths] for row in found
    ]


def told_apart(names: Sequence[str], taken: Sequence[str] = (), prefix: str = "") -> list[str]:
    """Names for columns: one that is taken gets the prefix or, after that, a number."""
    seen = set(taken)
    found = []
    for name in names:
        tried, number = (f"{prefix}{name}" if name in seen else name), 1
        column = tried
        while column in seen:
            number += 1
            column = f"{tried}-{number}"
        seen.add(column)
        found.append(column)
    return found
