"""Layer profiles for the terminal: a row for each number of a pair, a column for each site."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from rich.console import Group
from rich.table import Table
from rich.text import Text

from harness.contract import Record
from harness.results.by_site import SiteTable, site_tables
from harness.text import for_terminal

Cell = Callable[[Record], Text]
COLUMNS = 4
"""Columns up to which a row has room for intervals."""
ROWS = 40
"""Rows of a table here; the report has all of them."""


def profiles(records: Sequence[Record], cell: Cell) -> tuple[list[Group], list[Record]]:
    """The tables of all pairs that are measured at two sites or more, and what is in none."""
    tables, others = site_tables(records)
    return [_table(table, cell) for table in tables], others


def _table(found: SiteTable, cell: Cell) -> Group:
    table = Table(pad_edge=False, box=None, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold", min_width=24)
    # Many columns leave no room for intervals: the report has them.
    brief = len(found.columns) > COLUMNS
    for column in found.columns:
        header = for_terminal(column)
        table.add_column(Text(header.replace(" ", "\n") if brief else header), justify="right")

    def shown(record: Record) -> Text:
        return cell(replace(record, ci=None) if brief else record)

    for label, row in list(found.rows.items())[:ROWS]:
        cells = [shown(row[column]) if column in row else Text("") for column in found.columns]
        table.add_row(Text(for_terminal(label)), *cells)
    notes = [Text(line, "dim") for line in _reasons(found.rows)]
    if (more := len(found.rows) - ROWS) > 0:
        notes.insert(0, Text(f"… and {more} more rows in report.html", "dim"))
    return Group(Text(""), Text(for_terminal(found.title), "bold"), table, *notes)


def _reasons(rows: Mapping[str, Mapping[str, Record]]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for label, found in rows.items():
        for record in found.values():
            if record.undefined:
                reasons.setdefault(record.undefined, []).append(for_terminal(label))
    for reason, labels in reasons.items():
        yield f"undefined for {', '.join(dict.fromkeys(labels))}: {for_terminal(reason)}"
