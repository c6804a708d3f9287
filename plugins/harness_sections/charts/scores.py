"""One chart: a score of an experiment against a swept axis, or by direction where none is swept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.contract import Figure, Record
from harness.results.numbers import format_estimate, format_number
from harness.results.series import DRAW, Series, axis_value
from harness_sections.charts.styles import UNEDITED, Look

_SLOT = 0.07
"""Room of a series that is not swept, right of the sweep, as a share of the sweep's width."""
_LOG_FROM = 8.0
_MOST_TICKS = 12


def chart(
    title: str, score: str, where: str, found: Sequence[Series], axis: str | None,
    looks: Mapping[str, Look],
) -> Figure:  # fmt: skip
    """The figure of one score; `where` says what the numbers were measured on."""
    sweeps = [one for one in found if one.shape == "sweep"]
    others = [one for one in found if one.shape != "sweep"]
    if sweeps and axis is not None:
        data, layout = _swept(sweeps, others, axis, looks)
    else:
        data = [_categories(one, looks[one.label]) for one in found]
        layout = {"xaxis": {"type": "category"}, "showlegend": False}
    layout["yaxis"] = {"title": {"text": score}}
    if all(record.unit == "share" for one in found for record in one.records):
        layout["yaxis"]["range"] = [-0.04, 1.04]
    rows = [_row(one, record, axis) for one in found for record in one.records]
    return Figure(title, _description(score, where, found, axis), data, layout, rows)


def _swept(
    sweeps: Sequence[Series], others: Sequence[Series], axis: str, looks: Mapping[str, Look]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    xs = sorted(
        {x for one in sweeps for r in one.records if (x := axis_value(r, axis)) is not None}
    )
    log = xs[0] > 0 and xs[-1] / xs[0] >= _LOG_FROM
    width = xs[-1] / xs[0] if log else xs[-1] - xs[0]

    def beside(slots: float) -> float:
        """So many slots right of the sweep."""
        return float(xs[-1] * width ** (_SLOT * slots) if log else xs[-1] + width * _SLOT * slots)

    data: list[dict[str, Any]] = []
    for slot, one in enumerate(others, 1):
        data += _reference(one, looks[one.label], xs[0], [beside(slot + d) for d in (0, 0.6)])
    data += [_line(one, axis, looks[one.label]) for one in sweeps]
    ends = [xs[0] / width ** (_SLOT / 2) if log else xs[0] - width * _SLOT / 2]
    ends.append(beside(len(others) + 1.0))
    x_axis: dict[str, Any] = {"title": {"text": axis}}
    if log:
        import math

        x_axis |= {"type": "log", "range": [math.log10(end) for end in ends]}
    else:
        x_axis["range"] = ends
    if len(xs) <= _MOST_TICKS:
        x_axis |= {"tickvals": xs, "ticktext": [f"{x:g}" for x in xs]}
    border = {"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1,
              "x0": beside(0.5), "x1": beside(0.5),
              "line": {"color": "rgba(128,128,128,0.6)", "width": 1, "dash": "dot"}}  # fmt: skip
    return data, {"xaxis": x_axis, "shapes": [border] if others else []}


def _line(one: Series, axis: str, look: Look) -> dict[str, Any]:
    """A sweep: a line through its steps, with an interval at each; draws of a step as their mean
    and range."""
    steps: dict[float, list[Record]] = {}
    for record in one.records:
        x = axis_value(record, axis)
        if x is not None:
            steps.setdefault(x, []).append(record)
    middles, lows, highs = [], [], []
    for records in steps.values():
        middle, low, high = _summary(records)
        middles.append(middle)
        lows.append(low)
        highs.append(high)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": one.label,
        "x": list(steps),
        "y": middles,
        "error_y": _bars(middles, lows, highs, look),
        "line": {"color": look.colour, "dash": look.dash, "width": 2},
        "marker": {"color": look.colour, "symbol": look.marker, "size": 8},
    }


def _reference(
    one: Series, look: Look, start: float, room: Sequence[float]
) -> list[dict[str, Any]]:
    """A series beside the sweep: its points in their own place, and a line or a band across."""
    records = [record for record in one.records if record.value is not None]
    if not records:
        return []
    values = one.values
    low, high = min(values), max(values)
    if len(records) == 1:
        xs = [(room[0] + room[1]) / 2]
        across = {"x": [start, xs[0]], "y": [low, low], "mode": "lines",
                  "line": {"color": look.colour, "dash": look.dash, "width": 1.5}}  # fmt: skip
    else:
        step = (room[1] - room[0]) / (len(records) - 1)
        xs = [room[0] + step * index for index in range(len(records))]
        across = {"x": [start, room[1], room[1], start], "y": [low, low, high, high],
                  "mode": "lines", "fill": "toself", "fillcolor": look.shade(),
                  "line": {"width": 0}}  # fmt: skip
    shared = {"type": "scatter", "legendgroup": one.label}
    spans = [_summary([record]) for record in records]
    return [
        {**shared, **across, "showlegend": False, "hoverinfo": "skip"},
        {
            **shared,
            "mode": "lines+markers" if len(records) == 1 else "markers",
            "name": _name(one),
            "x": xs,
            "y": values,
            "error_y": _bars(values, [s[1] for s in spans], [s[2] for s in spans], look),
            "line": {"color": look.colour, "dash": look.dash, "width": 1.5},
            "marker": {
                "color": look.colour,
                "symbol": look.marker,
                "size": 8 if len(records) == 1 else 6,
            },
            "hoverinfo": "y+name",
        },
    ]  # fmt: skip


def _categories(one: Series, look: Look) -> dict[str, Any]:
    """A series where nothing is swept: its points above its name."""
    records = [record for record in one.records if record.value is not None]
    spans = [_summary([record]) for record in records]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _name(one),
        "x": [_name(one)] * max(1, len(records)),
        "y": one.values or [None],
        "error_y": _bars(one.values, [s[1] for s in spans], [s[2] for s in spans], look),
        "marker": {"color": look.colour, "symbol": look.marker, "size": 9},
    }  # fmt: skip


def _summary(records: Sequence[Record]) -> tuple[float | None, float | None, float | None]:
    """Value and interval of one record; mean and range of several draws."""
    if len(records) == 1:
        low, high = records[0].ci or (None, None)
        return records[0].value, low, high
    values = [record.value for record in records if record.value is not None]
    if not values:
        return None, None, None
    return sum(values) / len(values), min(values), max(values)


def _bars(
    middles: Sequence[float | None],
    lows: Sequence[float | None],
    highs: Sequence[float | None],
    look: Look,
) -> dict[str, Any]:
    def gap(low: float | None, high: float | None) -> float:
        return 0.0 if low is None or high is None else max(0.0, high - low)

    return {
        "type": "data",
        "symmetric": False,
        "array": [gap(middle, high) for middle, high in zip(middles, highs, strict=True)],
        "arrayminus": [gap(low, middle) for low, middle in zip(lows, middles, strict=True)],
        "color": look.colour,
        "thickness": 1.2,
        "width": 3,
    }


def _name(one: Series) -> str:
    if one.label == UNEDITED:
        return f"{UNEDITED} (not edited)"
    return f"{one.label} ({len(one.records)} draws)" if one.shape == "draws" else one.label


def _row(one: Series, record: Record, axis: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"direction": one.label}
    if axis is not None:
        row[axis] = record.axes.get(axis)
    if DRAW in record.axes:
        row[DRAW] = record.axes[DRAW]
    low, high = record.ci or (None, None)
    row |= {"value": record.value, "from": low, "to": high, "n": record.n}
    if record.undefined:
        row["why there is none"] = record.undefined
    return row


def _description(score: str, where: str, found: Sequence[Series], axis: str | None) -> str:
    parts = []
    for one in found:
        if one.shape == "sweep":
            first, last = one.records[0], one.records[-1]
            parts.append(
                f"{one.label} {_value(first)} at {axis} = {first.axes.get(axis or '')}, "
                f"{_value(last)} at {axis} = {last.axes.get(axis or '')}"
            )
        elif len(one.records) == 1:
            parts.append(f"{one.label} {format_estimate(one.records[0])}")
        elif one.values:
            low, high = format_number(min(one.values)), format_number(max(one.values))
            parts.append(f"{one.label} {low} to {high} over {len(one.values)} draws")
        else:
            parts.append(f"{one.label} undefined")
    against = f" against {axis}" if any(one.shape == "sweep" for one in found) else ""
    return f"{score}{against}; {where}; bars are 95% intervals. {'; '.join(parts)}."


def _value(record: Record) -> str:
    return "undefined" if record.value is None else format_number(record.value)
