"""A chart of a score of an experiment: against a swept axis, or by direction without a sweep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.contract import JSON, Figure, Record
from harness.results import DRAW, Series, axis_value, format_estimate, format_number, grouped
from harness_sections.charts.points import Line, Point, error_bars, line_trace, point_of, record_row
from harness_sections.charts.styles import UNEDITED, Style

_SLOT = 0.07
"""Room of a series that is not swept, right of the sweep, as a share of the sweep's width."""
_LOG_FROM = 8.0
"""The ratio of the last step to the first from which the axis is logarithmic."""
_MOST_TICKS = 12


def score_chart(
    title: str, score: str, where: str, found: Sequence[Series], axis: str | None,
    styles: Mapping[str, Style],
) -> Figure:  # fmt: skip
    """The figure of one score; `where` says what the numbers were measured on."""
    sweeps = [one for one in found if one.shape == "sweep"]
    others = [one for one in found if one.shape != "sweep"]
    if sweeps and axis is not None:
        data, layout = _swept(sweeps, others, axis, styles)
    else:
        data = [_category(one, styles[one.label]) for one in found]
        x_title = {"text": "direction"}
        layout = {"xaxis": {"type": "category", "title": x_title}, "showlegend": False}
    units = {record.unit for one in found for record in one.records}
    unit = f" ({units.pop()})" if len(units) == 1 else ""
    layout["yaxis"] = {"title": {"text": f"{score}{unit}"}}
    if all(record.unit == "share" for one in found for record in one.records):
        layout["yaxis"]["range"] = [-0.04, 1.04]
    rows = [_row(one, record, axis) for one in found for record in one.records]
    shown = [record for one in found for record in one.records]
    return Figure(title, _description(score, where, found, axis), data, layout, rows, shown)


def _swept(
    sweeps: Sequence[Series], others: Sequence[Series], axis: str, styles: Mapping[str, Style]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The sweeps as lines, the other series in slots right of them."""
    places = {axis_value(record, axis) for one in sweeps for record in one.records}
    xs = sorted(x for x in places if x is not None)
    log = xs[0] > 0 and xs[-1] / xs[0] >= _LOG_FROM
    width = xs[-1] / xs[0] if log else xs[-1] - xs[0]

    def right(slots: float) -> float:
        """So many slots right of the sweep."""
        return float(xs[-1] * width ** (_SLOT * slots) if log else xs[-1] + width * _SLOT * slots)

    data: list[dict[str, Any]] = []
    for slot, one in enumerate(others, 1):
        data += _reference(one, styles[one.label], xs[0], (right(slot), right(slot + 0.6)))
    data += [_sweep(one, axis, styles[one.label]) for one in sweeps]
    ends = [xs[0] / width ** (_SLOT / 2) if log else xs[0] - width * _SLOT / 2]
    ends.append(right(len(others) + 1.0))
    x_axis: dict[str, Any] = {"title": {"text": axis}, "range": ends}
    if log:
        x_axis |= {"type": "log", "range": [math.log10(end) for end in ends]}
    if len(xs) <= _MOST_TICKS:
        x_axis |= {"tickvals": xs, "ticktext": [f"{x:g}" for x in xs]}
    border = {"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1,
              "x0": right(0.5), "x1": right(0.5),
              "line": {"color": "rgba(128,128,128,0.6)", "width": 1, "dash": "dot"}}  # fmt: skip
    return data, {"xaxis": x_axis, "shapes": [border] if others else []}


def _sweep(one: Series, axis: str, style: Style) -> dict[str, Any]:
    """A line through the steps, with an interval at each; draws of a step as their mean and
    range."""
    placed = [record for record in one.records if axis_value(record, axis) is not None]
    steps = grouped(placed, lambda record: axis_value(record, axis))
    points = tuple(_summary(x, records) for x, records in steps.items())
    return line_trace(Line(one.label, points), {one.label: style})


def _reference(
    one: Series, style: Style, start: float, room: tuple[float, float]
) -> list[dict[str, Any]]:
    """A series beside the sweep: its points in their own room, and a line or a band across."""
    points = [point_of(None, record) for record in one.records if record.value is not None]
    if not points:
        return []
    low, high = min(one.values), max(one.values)
    single = len(points) == 1
    if single:
        xs = [(room[0] + room[1]) / 2]
        across = {"x": [start, xs[0]], "y": [low, low], "mode": "lines",
                  "line": {"color": style.colour, "dash": style.dash, "width": 1.5}}  # fmt: skip
    else:
        step = (room[1] - room[0]) / (len(points) - 1)
        xs = [room[0] + step * index for index in range(len(points))]
        across = {"x": [start, room[1], room[1], start], "y": [low, low, high, high],
                  "mode": "lines", "fill": "toself", "fillcolor": style.shade(),
                  "line": {"width": 0}}  # fmt: skip
    shared = {"type": "scatter", "legendgroup": one.label}
    return [
        {**shared, **across, "showlegend": False, "hoverinfo": "skip"},
        {
            **shared,
            "mode": "lines+markers" if single else "markers",
            "name": _name(one),
            "x": xs,
            "y": one.values,
            "error_y": error_bars(points, style.colour),
            "line": {"color": style.colour, "dash": style.dash, "width": 1.5},
            "marker": {"color": style.colour, "symbol": style.marker, "size": 8 if single else 6},
            "hoverinfo": "y+name",
        },
    ]


def _category(one: Series, style: Style) -> dict[str, Any]:
    """A series where nothing is swept: its points above its name."""
    points = [point_of(None, record) for record in one.records if record.value is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _name(one),
        "x": [_name(one)] * max(1, len(points)),
        "y": one.values or [None],
        "error_y": error_bars(points, style.colour),
        "marker": {"color": style.colour, "symbol": style.marker, "size": 9},
    }


def _summary(at: JSON, records: Sequence[Record]) -> Point:
    """Value and interval of one record; mean and range of several draws."""
    if len(records) == 1:
        return point_of(at, records[0])
    values = [record.value for record in records if record.value is not None]
    if not values:
        return Point(at, None)
    return Point(at, sum(values) / len(values), min(values), max(values))


def _name(one: Series) -> str:
    if one.label == UNEDITED:
        return f"{UNEDITED} (not edited)"
    return f"{one.label} ({len(one.records)} draws)" if one.shape == "draws" else one.label


def _row(one: Series, record: Record, axis: str | None) -> dict[str, JSON]:
    row: dict[str, JSON] = {"direction": one.label}
    if axis is not None:
        row[axis] = record.axes.get(axis)
    if DRAW in record.axes:
        row[DRAW] = record.axes[DRAW]
    return row | record_row(record) | {"n": record.n}


def _description(score: str, where: str, found: Sequence[Series], axis: str | None) -> str:
    parts = []
    for one in found:
        if one.shape == "sweep":
            ends = [_step(one.records[0], axis), _step(one.records[-1], axis)]
            parts.append(f"{one.label} {', '.join(ends)}")
        elif len(one.records) == 1:
            parts.append(f"{one.label} {format_estimate(one.records[0])}")
        elif one.values:
            low, high = format_number(min(one.values)), format_number(max(one.values))
            parts.append(f"{one.label} {low} to {high} over {len(one.values)} draws")
        else:
            parts.append(f"{one.label} undefined")
    against = f" against {axis}" if any(one.shape == "sweep" for one in found) else ""
    return f"{score}{against}; {where}; bars are 95% intervals. {'; '.join(parts)}."


def _step(record: Record, axis: str | None) -> str:
    return f"{format_number(record.value)} at {axis} = {record.axes.get(axis or '')}"
