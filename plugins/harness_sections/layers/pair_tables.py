"""Every number of every pair, a column for each site: nothing that was measured is hidden."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.contract import JSON, Grid, Panel, Record, Results
from harness.results import (
    SiteTable,
    format_number,
    null_value,
    site_tables,
    undefined_labels,
)
from harness_sections.charts.points import cell_text
from harness_sections.plain import PlainSection

_MOST = 60
"""Rows that are shown open."""


class PairTables(PlainSection):
    """A table for each pair that is measured at two sites or more."""

    def panel(self, results: Results) -> Panel | None:
        """The tables, or None where there is no such pair."""
        tables, _ = pairs_by_site(results.records)
        grids = [_grid(table) for table in tables]
        return Panel("Pairs by site", grids, order=28) if grids else None


def pairs_by_site(records: Sequence[Record]) -> tuple[list[SiteTable], list[Record]]:
    """The tables of measurements alone, and the measurements that are in none of them."""
    other = {"direction", "experiment", "analysis"}
    return site_tables([record for record in records if not other & record.axes.keys()])


def _grid(table: SiteTable) -> Grid:
    rows: list[list[JSON]] = []
    for label, row in table.rows.items():
        cells = [cell_text(row.get(column)) for column in table.columns]
        rows.append([label, *cells, _nulls(row.values()), _counts(row.values())])
    notes = ["95% intervals over documents in brackets."]
    for why, labels in undefined_labels(table.rows.items()).items():
        notes.append(f"Undefined for {', '.join(labels)}: {why}.")
    columns = ["number", *table.columns, "if nothing differed", "n"]
    return Grid(table.title, columns, rows, " ".join(notes), folded=len(rows) > _MOST)


def _nulls(records: Iterable[Record]) -> str:
    known = {value for record in records if (value := null_value(record)) is not None}
    return ", ".join(format_number(value) for value in sorted(known))


def _counts(records: Iterable[Record]) -> str:
    """`5,725 to 8,660 tokens`."""
    mine = list(records)
    counts = sorted({record.n for record in mine})
    first, last = counts[0], counts[-1]
    span = f"{first:,}" if first == last else f"{first:,} to {last:,}"
    return f"{span} {mine[0].n_of}"
