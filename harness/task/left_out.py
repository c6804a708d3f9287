"""Rows of which no prompt can be made: what is said of them, and how many were left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import DataError

if TYPE_CHECKING:
    from harness.contract import Example

TRIED = 4096
"""Rows that are tried, after the first one that is bad, to say how many are."""
EVERY_VIEW = "*"
"""In the place of a view, for rows that cannot be read, so that no view has them."""


@dataclass
class LeftOut:
    """The rows that were left out, each once, however often the data were read."""

    _found: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    """By data set and view: for each row, why. No view stands for rows that cannot be read."""

    def add(self, data: str, view: str, rows: Iterable[tuple[Example, str]]) -> None:
        """Adds rows of a data set of which a view makes no prompt, each with the reason."""
        found = self._found.setdefault((data, view), {})
        for row, why in rows:
            found.setdefault(row.name, why)

    def add_unread(self, data: str, row: str, why: str) -> None:
        """Adds a row of a data set that cannot be read, by its place, with the reason."""
        self._found.setdefault((data, EVERY_VIEW), {}).setdefault(row, why)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """By data set and view, how many rows were left out."""
        counts: dict[str, dict[str, int]] = {}
        for (data, view), rows in self._found.items():
            counts.setdefault(data, {})[view] = len(rows)
        return counts

    def notes(self) -> Iterator[str]:
        """A sentence for each data set and view, with the first of the rows."""
        for (data, view), rows in self._found.items():
            one = len(rows) == 1
            of = "" if view == EVERY_VIEW else f" for views.{view}"
            pair = "" if view == EVERY_VIEW else "; of a pair, for both views"
            yield (
                f"data.{data}: {len(rows)} row{'' if one else 's'} {'is' if one else 'are'} left "
                f'out{of}, as on_bad_rows = "skip" says{pair}.'
                f" The first: {next(iter(rows.values()))}"
            )


@dataclass
class BadCount:
    """The rows of a data set that a task does not leave out, while they are counted."""

    data: str
    rows: int = 0
    """How many were tried."""
    bad: int = 0
    first: str = ""
    """Why the first one is bad, and which it is."""

    def add(self, tried: int, bad: Mapping[str, Mapping[int, str]]) -> None:
        """Counts some more rows; `bad` says by view which of them are, by place, and why."""
        whys: dict[int, str] = {}
        for some in bad.values():
            whys = {**some, **whys}
        self.rows += tried
        self.bad += len(whys)
        if whys and not self.first:
            self.first = whys[min(whys)]

    def error(self, *, all_tried: bool) -> DataError:
        """The error that names the first row and counts all; `all_tried`: there are no more."""
        among = "" if all_tried else " that were tried"
        one = self.bad == 1
        return DataError(
            f"{self.first} {self.bad} of {self.rows} rows{among} {'is' if one else 'are'} like "
            f"this: no prompt can be made. Mend {'it' if one else 'them'}, or set "
            f'data.{self.data}.on_bad_rows = "skip": {"it is" if one else "they are"} left out '
            "and counted."
        )


def none_left(data: str, views: Sequence[str], first: str) -> DataError:
    """The error where a view refuses every row, so that nothing is left of a data set."""
    return DataError(
        f"data.{data}: nothing is left of it for views.{' and '.join(views)}: no prompt can be made"
        f" of any row. The first: {first}"
    )
