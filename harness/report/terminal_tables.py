"""Tables on a terminal: never wider than it, and no column or cell of a number is ever cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from harness.contract import Record
from harness.results.numbers import format_number
from harness.results.records import undefined_labels
from harness.text import for_terminal

ROWS = 40
"""Rows of a table that are shown here; the report has all of them."""
_HEAD = 14
"""The length up to which a column's head stays on one line."""
Rows = Sequence[tuple[str, Mapping[str, Record]]]
"""Labels of rows, harmless already, with the records of a row by column."""
Cells = Sequence[tuple[Text, Sequence[Text]]]
"""Labels of rows with their cells, as many as there are columns."""


@dataclass(frozen=True)
class Columns:
    """A table that is split where the terminal ends: the further columns follow below.

    Every column has the room of its longest cell and of its longest word, so that no two heads
    read alike because both were cut. Labels go on in a second line before any column has to move.
    """

    heads: Sequence[str]
    """The names of the columns, harmless already."""
    rows: Cells
    corner: str = ""
    """The head of the labels."""
    label: int = 24
    """What labels are given room for, where the terminal has it, before they go on in a second
    line."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for block in self.blocks(options.max_width):
            yield self._table(block, options.max_width)

    def blocks(self, width: int) -> list[range]:
        """Which columns stand beside each other in a terminal of so many characters."""
        widths = self._widths(width)
        label = self._label_width(width, widths)
        found, start, used = [], 0, label
        for place, wide in enumerate(widths):
            if place > start and used + wide + 1 > width:
                found.append(range(start, place))
                start, used = place, label
            used += wide + 1
        return [*found, range(start, len(widths))]

    def _table(self, block: range, width: int) -> Table:
        table = new_table()
        widths = self._widths(width)
        label = self._label_width(width, widths)
        table.add_column(Text(self.corner), width=label, overflow="fold")
        for place in block:
            room = min(widths[place], max(1, width - label - 1))
            head = Text("\n".join(self._head(place, width)))
            table.add_column(head, justify="right", width=room, overflow="fold")
        for name, cells in self.rows:
            table.add_row(name, *(cells[place] for place in block))
        return table

    def _label_width(self, width: int, widths: Sequence[int]) -> int:
        # What the columns leave; at least the room of a short label, at most all but one column.
        room = max(width - sum(widths) - len(widths), min(self.label, width // 2))
        return max(1, min(self._longest_label(), room, width - max(widths, default=0) - 1))

    def _longest_label(self) -> int:
        return max([cell_len(self.corner), *(row.cell_len for row, _ in self.rows)])

    def _widths(self, width: int) -> list[int]:
        return [
            max([*map(cell_len, self._head(place, width)), self._widest_cell(place), 1])
            for place in range(len(self.heads))
        ]

    def _head(self, place: int, width: int) -> list[str]:
        """The name of a column: on one line where there is room for that, else on several."""
        whole = [max(cell_len(h), self._widest_cell(n)) + 1 for n, h in enumerate(self.heads)]
        head = self.heads[place]
        fits = self._longest_label() + sum(whole) <= width
        return [head] if fits or cell_len(head) <= self._widest_cell(place) else _lines(head)

    def _widest_cell(self, place: int) -> int:
        return max((cells[place].cell_len for _, cells in self.rows), default=0)


def _lines(head: str) -> list[str]:
    """A column's name on short lines, broken where words end."""
    short = []
    for word in head.split():
        parts = [word] if len(word) < _HEAD else word.replace(".", ".\n").split("\n")
        for part in parts:
            short += [part] if len(part) < _HEAD else part.replace("_", "_\n").split("\n")
    return [line for line in short if line] or [""]


def new_table() -> Table:
    """A table without borders and without columns."""
    return Table(pad_edge=False, box=None, padding=(0, 1, 0, 0))


def estimate_cell(record: Record) -> Text:
    """The value, with its interval dimmed; or `undefined`."""
    if record.value is None:
        return Text("undefined", "dim")
    text = Text(format_number(record.value))
    if record.ci is not None:
        text.append(f" [{', '.join(map(format_number, record.ci))}]", "dim")
    return text


def record_columns(
    heads: Sequence[str], keys: Sequence[str], rows: Rows, cell: Callable[[Record], Text]
) -> Columns:
    """The first rows of records, a cell for each key; a cell without a record stays empty."""
    found = [
        (Text(label), [cell(row[key]) if key in row else Text("") for key in keys])
        for label, row in rows[:ROWS]
    ]
    return Columns([for_terminal(head) for head in heads], found)


def with_notes(title: str, table: Table | Columns, count: int, explained: Rows) -> Group:
    """A title, a table, and below it how many of its `count` rows are not shown.

    Then, for the rows to be explained, why they have undefined values.
    """
    notes = [f"… and {count - ROWS} more rows in report.html"] if count > ROWS else []
    notes += _reasons(explained)
    return Group(Text(""), Text(title, "bold"), table, *(Text(note, "dim") for note in notes))


def _reasons(explained: Rows) -> Iterator[str]:
    for reason, labels in undefined_labels(explained).items():
        yield f"undefined for {', '.join(labels)}: {for_terminal(reason)}"
