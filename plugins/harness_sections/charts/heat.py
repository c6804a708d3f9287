"""A heat map: numbers by row and column, each written in its cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.contract import JSON, Figure, Record
from harness_sections.charts.layout import height_of, name_axis

_UP = [[0.0, "#eef3f9"], [1.0, "#0b57a4"]]
_ABOUT = [[0.0, "#c75b00"], [0.5, "#f4f4f4"], [1.0, "#0b57a4"]]
_MOST = 40
"""Rows and columns that are drawn."""


@dataclass(frozen=True)
class Cell:
    """One number: its row and column, the text written there, and its row in the table below."""

    row: str
    column: str
    value: float | None
    text: str
    details: Mapping[str, JSON] = field(default_factory=dict)
    """The cells of its row in the table, beside the names of row and column."""
    record: Record | None = None
    """What it is the number of."""


def heat_map(
    title: str,
    meaning: str,
    cells: Sequence[Cell],
    columns: Sequence[str],
    *,
    axes: tuple[str, str],
    middle: float | None = None,
) -> Figure:
    """The figure; `axes` name rows and columns in the table, `middle` is a value without colour.

    Rows come in the order of their cells. A cell without a number stays empty; the table has the
    reason.
    """
    rows = list(dict.fromkeys(cell.row for cell in cells))
    drawn = {(cell.row, cell.column): cell for cell in cells}
    shown, across = rows[:_MOST], list(columns)[:_MOST]
    grid = [[drawn.get((row, column)) for column in across] for row in shown]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": list(range(len(across))),
        "y": list(range(len(shown))),
        "z": [[cell.value if cell else None for cell in line] for line in grid],
        "text": [[cell.text if cell else "" for cell in line] for line in grid],
        "texttemplate": "%{text}",
        "hoverinfo": "text",
        "colorscale": _UP if middle is None else _ABOUT,
        "xgap": 2,
        "ygap": 2,
        "colorbar": {"thickness": 10, "outlinewidth": 0},
    }
    if units := {cell.record.unit for cell in cells if cell.record is not None}:
        trace["colorbar"] |= {"title": {"text": " or ".join(sorted(units)), "side": "right"}}
    if middle is not None:
        trace["zmid"] = middle
    layout = {
        "xaxis": name_axis(across) | {"showgrid": False, "title": {"text": axes[1]}},
        "yaxis": name_axis(shown)
        | {"showgrid": False, "autorange": "reversed", "title": {"text": axes[0]}},
        "height": height_of(len(shown)),
    }
    hidden = max(0, len(rows) - _MOST), max(0, len(columns) - _MOST)
    more = f" Not drawn: {hidden[0]} rows and {hidden[1]} columns." if any(hidden) else ""
    records = [cell.record for cell in cells if cell.record is not None]
    table = [{axes[0]: cell.row, axes[1]: cell.column, **cell.details} for cell in cells]
    return Figure(title, f"{meaning}{more} {_words(shown, cells)}", [trace], layout, table, records)


def _words(rows: Sequence[str], cells: Sequence[Cell]) -> str:
    parts = []
    for row in rows:
        mine = [f"{cell.column} {cell.text or 'undefined'}" for cell in cells if cell.row == row]
        parts.append(f"{row}: {', '.join(mine)}")
    return f"{'; '.join(parts)}."
