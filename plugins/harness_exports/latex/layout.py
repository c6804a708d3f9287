"""How a table goes onto a page: which columns wrap, and which stand in a part of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

WRAP = 28
"""Characters of a column beyond which it wraps."""
ROWS = 40
"""Lines of a table that fit on a page; a longer one runs over several."""
_GAP = 2
"""What stands between two columns, in characters."""
_NUMBER = re.compile(r"[-−+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?%?|undefined|–|")


@dataclass(frozen=True)
class Column:
    """One column: where it stands in the table, and how it is set."""

    place: int
    width: int
    """In characters; a column that wraps is as wide as it may be."""
    wraps: bool
    numbers: bool
    """Whether all its cells are numbers, which line up at the right."""

    @property
    def setting(self) -> str:
        """As LaTeX writes it."""
        if self.wraps:
            return rf">{{\raggedright\arraybackslash}}p{{{self.width / 2:g}em}}"
        return "r" if self.numbers else "l"


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Column]:
    """The columns of a table of texts."""
    found = []
    for place, head in enumerate(heads):
        cells = [row[place] for row in rows]
        widest = max(map(len, (head, *cells)), default=0)
        numbers = any(cells) and all(map(_NUMBER.fullmatch, cells))
        found.append(Column(place, min(widest, WRAP), widest > WRAP, numbers))
    return found


def parts(found: Sequence[Column], page: int) -> list[list[Column]]:
    """Columns in groups of at most `page` characters beside each other. After the first group, each
    begins with the first column, which says what a row is of; one column more there always is."""
    if not found:
        return []
    first, *rest = found
    groups = [[first]]
    for column in rest:
        if width([*groups[-1], column]) > page and len(groups[-1]) > 1:
            groups.append([first])
        groups[-1].append(column)
    return groups


def width(found: Sequence[Column]) -> int:
    """The width of columns beside each other, in characters."""
    return sum(column.width for column in found) + _GAP * (len(found) - 1)


def lines(found: Sequence[Column], rows: Sequence[Sequence[str]]) -> int:
    """How many lines the rows fill, with those that wrap."""
    return sum(
        max((ceil(len(row[one.place]) / max(one.width, 1)) or 1 for one in found), default=1)
        for row in rows
    )
