"""Every number of the results: one closed table for each kind, so that it can be found."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import JSON, Grid, Panel, Prose, Record, Results, Runs
from harness.results import format_number, grouped
from harness_sections.plain import PlainSection
from harness_sections.several import numbers

_MOST = 3000


class Records(PlainSection):
    """A table for each id, or where to find them when they are too many."""

    def panel(self, results: Results) -> Panel | None:
        """The tables, or None where there are no records."""
        if not results.records:
            return None
        if len(results.records) > _MOST:
            text = f"There are {len(results.records):,} records: see results.json beside this file."
            return Panel("Every record", [Prose(text)], order=90)
        by_id = grouped(results.records, lambda record: record.id)
        grids = [_grid(name, by_id[name]) for name in sorted(by_id)]
        return Panel("Every record", grids, order=90)

    def panel_of_runs(self, runs: Runs) -> Panel | None:
        """What differs most between runs, and every number by run."""
        return numbers.panel(runs)


def _grid(name: str, records: Sequence[Record]) -> Grid:
    axes = list(dict.fromkeys(axis for record in records for axis in record.axes))
    rows: list[list[JSON]] = []
    for record in records:
        interval = f"[{', '.join(map(format_number, record.ci))}]" if record.ci else ""
        why = record.undefined or ("" if interval else record.ci_why or "")
        value = "undefined" if record.value is None else record.value
        place = [record.axes.get(axis, "") for axis in axes]
        rows.append([*place, value, interval, record.n, record.n_of, record.unit, why])
    columns = [*axes, "value", "95% interval", "n", "of", "unit", "why there is none"]
    return Grid(name, columns, rows, folded=True)
