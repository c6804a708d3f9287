"""What was measured of models, and of pairs at one site: preflight, sentinels, metrics."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import JSON, Grid, Panel, Record, Results
from harness.results.numbers import format_estimate, format_number
from harness_sections.layers.pair_tables import pairs_by_site
from harness_sections.plain import Plain

_MOST = 60
"""Rows that are shown open."""


class Measurements:
    """Records that belong to no direction and no experiment: single views first, then pairs."""

    def __init__(self, options: Plain) -> None:
        self.options = options

    def panel(self, results: Results) -> Panel | None:
        """A table for each pair, or None where there is nothing."""
        # What `pairs_by_site` shows by site is not told twice.
        _, rest = pairs_by_site(results.records)
        groups: dict[str | None, list[Record]] = {}
        for record in rest:
            pair = record.axes.get("pair")
            groups.setdefault(None if pair is None else str(pair), []).append(record)
        ordered = sorted(groups, key=lambda pair: pair is not None)
        grids = [
            _grid("Preflight and single models" if pair is None else f"Pair {pair}", groups[pair])
            for pair in ordered
        ]
        return Panel("Preflight and pairs", grids, order=30) if grids else None


def _grid(title: str, records: Sequence[Record]) -> Grid:
    axes = [axis for axis in dict.fromkeys(a for r in records for a in r.axes) if axis != "pair"]
    rows: list[list[JSON]] = [
        [
            record.id.partition("@")[0],
            *(_text(record.axes.get(axis)) for axis in axes),
            format_estimate(record),
            _null(record),
            f"{record.n:,} {record.n_of}",
            record.undefined or "",
        ]
        for record in records
    ]
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


def _null(record: Record) -> str:
    value = (record.null or {}).get("value")
    return format_number(value) if isinstance(value, (int, float)) else ""
