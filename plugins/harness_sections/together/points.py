"""Two numbers of a run against each other, a point for each SAE, layer or checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.contract import JSON, Figure, Record, Results
from harness.results import format_number, grouped
from harness_sections.charts.curves import curves, is_number
from harness_sections.charts.points import Line, Point

_RANKS, _LINE = "correlation_over.spearman@1", "correlation_over.pearson@1"


def figures(results: Results) -> list[Figure]:
    """A figure for each analysis `correlation_over` that has points."""
    mine = [record for record in results.records if record.id in (_RANKS, _LINE)]
    found = []
    for name, records in grouped(mine, lambda record: str(record.axes.get("analysis"))).items():
        rows = results.tables.get(f"{name}.points", ())
        if (figure := _figure(name, records, rows)) is not None:
            found.append(figure)
    return found


def _figure(
    name: str, records: Sequence[Record], rows: Sequence[Mapping[str, Any]]
) -> Figure | None:
    axes = records[0].axes
    over, x, y = (str(axes.get(key, key)) for key in ("over", "x", "y"))
    drawn = sorted(
        (row for row in rows if is_number(row.get("x")) and is_number(row.get("y"))),
        key=lambda row: float(row["x"]),
    )
    if not drawn:
        return None
    points = tuple(
        Point(
            row["x"], row["y"], _end(row.get("low")), _end(row.get("high")),
            {y: row["y"], over: _cell(row.get(over)), "from": _end(row.get("low")),
             "to": _end(row.get("high"))},
        )
        for row in drawn
    )  # fmt: skip
    said = "; ".join(_said(record) for record in records)
    meaning = f"A point for each {over}. {said}. Bars: 95% intervals of {y}, where it has one."
    figure = curves(f"{y} with {x}: {name}", meaning, [Line(y, points)], (x, y), series="of")
    return Figure(
        figure.title, figure.description, figure.data, figure.layout, figure.rows, tuple(records)
    )


def _said(record: Record) -> str:
    """`Spearman's ρ −0.90 (p = 0.08, of 5)`."""
    called = "Spearman's ρ" if record.id == _RANKS else "Pearson's r"
    if record.value is None:
        return f"{called} is undefined: {record.undefined}"
    p = (record.null or {}).get("p")
    told = f"p = {format_number(float(p))}, " if is_number(p) else ""
    return f"{called} {format_number(record.value)} ({told}of {record.n})"


def _end(value: object) -> float | None:
    fine = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fine else None  # type: ignore[arg-type]


def _cell(value: object) -> JSON:
    return value if isinstance(value, (str, int, float)) else str(value)
