"""What was measured of models, and of pairs at one site: preflight, sentinels, metrics."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import JSON, Grid, Panel, Record, Results
from harness.results import format_estimate, grouped, null_value, record_name
from harness_sections.charts.points import number_text
from harness_sections.layers.pair_tables import pairs_by_site
from harness_sections.plain import PlainSection

_MOST = 60
"""Rows that are shown open."""


class Measurements(PlainSection):
    """Records that belong to no direction and no experiment: single views first, then pairs."""

    def panel(self, results: Results) -> Panel | None:
        """A table for each pair, or None where there is nothing."""
        # What `pairs_by_site` shows by site is not repeated here.
        _, rest = pairs_by_site(results.records)
        by_pair = grouped(rest, lambda record: _text(record.axes.get("pair")))
        grids = [
            _grid(f"Pair {pair}" if pair else "Preflight and single models", by_pair[pair])
            for pair in sorted(by_pair, key=bool)
        ]
        return Panel("Preflight and pairs", grids, order=30) if grids else None


def _grid(title: str, records: Sequence[Record]) -> Grid:
    axes = [axis for axis in dict.fromkeys(a for r in records for a in r.axes) if axis != "pair"]
    rows: list[list[JSON]] = []
    for record in records:
        rows.append(
            [
                record_name(record),
                *(_text(record.axes.get(axis)) for axis in axes),
                format_estimate(record),
                number_text(null_value(record)),
                f"{record.n:,} {record.n_of}",
                record.undefined or "",
            ]
        )
    columns = ["number", *axes, "value", "if nothing differed", "n", "why there is none"]
    kept = [
        index for index, name in enumerate(columns)
        if name in ("number", "value") or any(row[index] for row in rows)
    ]  # fmt: skip
    return Grid(
        title,
        [columns[index] for index in kept],
        [[row[index] for index in kept] for row in rows],
        "95% intervals over documents in brackets.",
        folded=len(rows) > _MOST,
    )


def _text(value: JSON) -> str:
    return "" if value is None else str(value)
