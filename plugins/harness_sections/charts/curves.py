"""A chart of numbers with intervals against another number, or against names in their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

from harness.contract import JSON, Figure
from harness.results import format_number
from harness_sections.charts.layout import padded
from harness_sections.charts.points import Line, Point, line_trace, shown_records
from harness_sections.charts.styles import distinct_styles

_MOST = 14
"""Lines that are drawn; the table has all."""
_TICKS = 12
"""Places on the x axis up to which each has its tick."""
_ROOM = 0.06
"""Room beside the outermost points, as a share of the axis."""


def curves(
    title: str,
    meaning: str,
    lines: Sequence[Line],
    axes: tuple[str, str],
    *,
    log: bool = False,
    series: str = "series",
) -> Figure:
    """The chart; `axes` name x and y, `series` is the table's column for a line's label.

    A logarithmic x needs numbers above 0. The y axis includes 0.
    """
    drawn = sorted(lines, key=lambda line: not line.faint)[-_MOST:]
    styles = distinct_styles(line.label for line in lines if not line.faint)
    data = [line_trace(line, styles, faint_width=1.5) for line in drawn]
    points = [one for line in drawn for one in line.points]
    values = [v for one in points for v in (one.value, one.low, one.high) if v is not None]
    y_range = padded(min([0.0, *values]), max([0.0, *values]), _ROOM, _ROOM)
    layout = {
        "xaxis": {"title": {"text": axes[0]}, **_x_axis([one.at for one in points], log)},
        "yaxis": {"title": {"text": axes[1]}, "range": y_range},
        "height": 340 + 20 * len(data),
        "showlegend": len(data) > 1,
    }
    rows = [
        {series: line.label, axes[0]: one.at, **one.row} for line in lines for one in line.points
    ]
    more = f" {len(lines) - _MOST} lines are not drawn." if len(lines) > _MOST else ""
    return Figure(
        title, f"{meaning}{more} {_ends(lines)}", data, layout, rows, shown_records(drawn)
    )


def _x_axis(places: Sequence[JSON], log: bool) -> dict[str, Any]:
    once = list(dict.fromkeys(places))
    numbers = sorted({float(at) for at in once if is_number(at)})
    if len(numbers) < len(once) or not numbers:
        return {"type": "category", "categoryorder": "array", "categoryarray": once}
    ticks: dict[str, Any] = {}
    if len(numbers) <= _TICKS:
        ticks = {"tickvals": numbers, "ticktext": [f"{one:,.10g}" for one in numbers]}
    low, high = numbers[0], numbers[-1]
    if log and low > 0:
        room = _ROOM * math.log10(high / low) or _ROOM
        return {"type": "log", "range": [math.log10(low) - room, math.log10(high) + room], **ticks}
    return {"range": padded(low, high, _ROOM, 0.5), **ticks}


def is_number(value: JSON) -> TypeGuard[int | float]:
    """Whether the value can stand on an axis of numbers."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _ends(lines: Sequence[Line]) -> str:
    parts = []
    for line in lines:
        first, last = line.points[0], line.points[-1]
        text = f"{line.label} {first.text} at {_place(first)}"
        parts.append(text if first is last else f"{text}, {last.text} at {_place(last)}")
    return f"{'; '.join(parts)}."


def _place(one: Point) -> str:
    return format_number(one.at) if isinstance(one.at, float) else str(one.at)
