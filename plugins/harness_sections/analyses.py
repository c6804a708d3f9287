"""What the analyses of the task found: their numbers, and the first rows of their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.contract import JSON, Grid, Panel, Record, Results
from harness.results import format_estimate, record_name
from harness_sections.plain import PlainSection
from harness_sections.variants import by_name_on

_ROWS = 20
"""Rows of a table that are shown."""


class Analyses(PlainSection):
    """Records and tables with the axis `analysis`."""

    def panel(self, results: Results) -> Panel | None:
        """A table of numbers for each analysis, and its own tables; None where there is none."""
        grids = []
        for name, records in by_name_on(results.records, "analysis").items():
            grids.append(_numbers(name, records))
            for table, rows in results.tables.items():
                if table.startswith(f"{name}.") and len(rows):
                    grids.append(_table(table.removeprefix(f"{name}."), rows))
        return Panel("Analyses", grids, order=45) if grids else None


def _numbers(title: str, records: Sequence[Record]) -> Grid:
    rows: list[list[JSON]] = [
        [
            record_name(record),
            ", ".join(f"{k} = {v}" for k, v in record.axes.items() if k != "analysis") or "all",
            format_estimate(record),
            f"{record.n:,} {record.n_of}",
            record.undefined or "",
        ]
        for record in records
    ]
    columns = ["number", "over", "value", "n", "why there is none"]
    return Grid(title, columns, rows, "95% intervals in brackets.")


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Grid:
    shown = rows[:_ROWS]
    columns = list(dict.fromkeys(key for row in shown for key in row if key != "analysis"))
    columns = [name for name in columns if any(row.get(name) is not None for row in shown)]
    cells: list[list[JSON]] = [[_cell(row.get(name)) for name in columns] for row in shown]
    note = f"The first {len(shown)} of {len(rows)}; all are in tables/." * (len(rows) > len(shown))
    return Grid(title, columns, cells, note, folded=True)


def _cell(value: Any) -> JSON:
    return value if isinstance(value, (str, int, float, bool)) else str(value or "")
