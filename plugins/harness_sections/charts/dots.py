"""A chart of numbers with intervals beside their names, one name below the other."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Figure
from harness_sections.charts.layout import height_of, name_axis
from harness_sections.charts.points import Line, error_bars, shown_records
from harness_sections.charts.styles import GREY, distinct_styles

_MOST = 40
"""Names that are drawn."""
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
    solid = [line for line in lines if not line.faint]
    styles = distinct_styles(line.label for line in solid)
    data = []
    for line in lines:
        shift = 0.0 if line.faint else _APART * (solid.index(line) - (len(solid) - 1) / 2)
        style = styles.get(line.label)
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
                    "color": style.colour if style else GREY,
                    "symbol": style.marker if style else "line-ns-open",
                    "size": 9,
                    "line": {"width": 0 if style else 2},
                },
            }
        )
        if style and any(one.low is not None for one in mine):
            data[-1]["error_x"] = error_bars(mine, style.colour)
    layout = {
        "xaxis": {"title": {"text": axes[1]}} | ({"range": list(span)} if span else {}),
        "yaxis": name_axis(list(shown))
        | {"range": [len(shown) - 0.5, -0.5], "title": {"text": axes[0]}},
        "height": height_of(len(shown)),
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
    return Figure(
        title, f"{meaning}{more} {_words(lines)}", data, layout, rows, shown_records(lines)
    )


def _words(lines: Sequence[Line]) -> str:
    parts = [
        f"{line.label}: {', '.join(f'{one.at} {one.text}' for one in line.points)}"
        for line in lines
    ]
    return f"{'; '.join(parts)}."
