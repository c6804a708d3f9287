"""Layer profiles for the terminal: a row for each number of a pair, a column for each site."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.console import Group
from rich.text import Text

from harness.contract import Record
from harness.report.terminal_tables import record_columns, with_notes
from harness.results.by_site import SiteTable, site_tables
from harness.text import for_terminal

Cell = Callable[[Record], Text]
COLUMNS = 4
"""Columns up to which a row has room for intervals."""


def profiles(records: Sequence[Record], cell: Cell) -> tuple[list[Group], list[Record]]:
    """The tables of all pairs that are measured at two sites or more.

    Returns them with the records that are in none of them.
    """
    tables, others = site_tables(records)
    return [_profile(table, cell) for table in tables], others


def _profile(found: SiteTable, cell: Cell) -> Group:
    # Many columns leave no room for intervals: the report has them.
    brief = len(found.columns) > COLUMNS

    def shown(record: Record) -> Text:
        return cell(replace(record, ci=None) if brief else record)

    rows = [(for_terminal(label), row) for label, row in found.rows.items()]
    table = record_columns(found.columns, found.columns, rows, shown)
    return with_notes(for_terminal(found.title), table, len(rows), rows)
