"""Tables of records on a terminal: cells with intervals, and notes on what has no number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from harness.contract import Record
from harness.results.numbers import format_number
from harness.results.records import undefined_labels
from harness.text import for_terminal

ROWS = 40
"""Rows of a table that are shown here; the report has all of them."""
Rows = Sequence[tuple[str, Mapping[str, Record]]]
"""Labels of rows, harmless already, with the records of a row by column."""


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


def add_rows(
    table: Table, rows: Rows, columns: Sequence[str], cell: Callable[[Record], Text]
) -> None:
    """Adds the first rows, a cell for each column; a cell without a record stays empty."""
    for label, row in rows[:ROWS]:
        cells = [cell(row[column]) if column in row else Text("") for column in columns]
        table.add_row(Text(label), *cells)


def with_notes(title: str, table: Table, count: int, explained: Rows) -> Group:
    """A title, a table, and below it how many of its `count` rows are not shown.

    Then, for the rows to be explained, why they have undefined values.
    """
    notes = [f"… and {count - ROWS} more rows in report.html"] if count > ROWS else []
    for reason, labels in undefined_labels(explained).items():
        notes.append(f"undefined for {', '.join(labels)}: {for_terminal(reason)}")
    return Group(Text(""), Text(title, "bold"), table, *(Text(note, "dim") for note in notes))
