"""One chart: numbers with intervals beside their names, one name below the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.contract import JSON, Figure
from harness_sections.charts.styles import looks
from harness_sections.charts.points import Line, Point, bars

_GREY = "#767676"
_MOST = 40
"""Names that are drawn."""
_LABEL = 26
_ROW, _MARGINS, _LEAST = 34, 110, 380
_APART = 0.16
"""Between two series of one name, in rows."""


def dots(
    title: str,
    meaning: str,
    lines: Sequence[Line],
    axes: tuple[str, str],
    *,
    span: tuple[float, float] | None = None,
) -> Figure:
    """The chart: `at` of each point is its name; `axes` call the names and the numbers.

    Names come in the order of the first line, top to bottom; faint lines are marks without
    intervals. `span` is the range of the numbers where it is known.
    """
    names = list(dict.fromkeys(one.at for line in lines for one in line.points))
    shown = {name: place for place, name in enumerate(names[:_MOST])}
    styles = looks(line.label for line in lines if not line.faint)
    solid = [line for line in lines if not line.faint]
    data = []
    for line in lines:
        shift = 0.0 if line.faint else _APART * (solid.index(line) - (len(solid) - 1) / 2)
        look = styles.get(line.label)
        mine = [one for one in line.points if one.at in shown]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": line.label,
                "x": [one.value for one in mine],
                "y": [shown[one.at] + shift for one in mine],
                "text": [f"{one.at}: {one.text}" for one in mine],
                "hoverinfo": "text+name",
                "marker": {
                    "color": look.colour if look else _GREY,
                    "symbol": look.marker if look else "line-ns-open",
                    "size": 9,
                    "line": {"width": 0 if look else 2},
                },
            }
        )
        if look and any(one.low is not None for one in mine):
            data[-1]["error_x"] = bars(mine, look.colour)
    x_axis: dict[str, Any] = {"title": {"text": axes[1]}}
    if span is not None:
        x_axis["range"] = list(span)
    layout = {
        "xaxis": x_axis,
        "yaxis": {
            "tickvals": list(shown.values()),
            "ticktext": [_short(name) for name in shown],
            "range": [len(shown) - 0.5, -0.5],
        },
        "height": max(_LEAST, _MARGINS + _ROW * len(shown)),
        "showlegend": len(data) > 1,
    }
    rows = [
        {axes[0]: one.at, "series": line.label, **one.row}
        for name in names
        for line in lines
        for one in line.points
        if one.at == name
    ]
    more = f" {len(names) - _MOST} further ones are not drawn." if len(names) > _MOST else ""
    return Figure(title, f"{meaning}{more} {_words(lines)}", data, layout, rows)


def _short(name: JSON) -> str:
    text = str(name)
    return text if len(text) <= _LABEL else f"{text[: _LABEL - 1]}…"


def _words(lines: Sequence[Line]) -> str:
    parts = [f"{line.label}: {', '.join(map(_said, line.points))}" for line in lines]
    return f"{'; '.join(parts)}."


def _said(one: Point) -> str:
    return f"{one.at} {one.text}"
