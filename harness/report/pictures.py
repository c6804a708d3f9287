"""A figure as the page shows it: drawn twice, for wide screens and narrow ones, and what it says
under the pointer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from harness.contract import Figure
from harness.drawing import Drawing, Spot, drawing, facts
from harness.report.embed import script_json
from harness.results.numbers import format_number
from harness.text import visible

_WIDE, _NARROW = 560, 350
"""Pixels: about as wide as a figure is on a large screen and on a phone, so that letters have the
size of the page's."""
_SHORT = 120
"""Characters of one part of what stands under the pointer."""
_FIVE = ("lowerfence", "q1", "median", "q3", "upperfence")
Trace = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """A figure as SVG inside a page."""

    svg: Markup
    """Both drawings. Their colours are those of a file; the style sheet gives them the page's."""
    json: Markup
    """What the page's script needs: sizes of the whole file, and spots with their words."""


def picture(figure: Figure, source: str) -> Picture:
    """The figure, drawn; below it, where it is saved as a file, its facts and `source`.

    Title and caption are in the drawing, and outside what the page shows of it.
    """
    caption = [line for line in (facts(figure), source) if line]
    wide, narrow = (drawing(figure, caption, width) for width in (_WIDE, _NARROW))
    data = {
        "width": wide.width,
        "height": round(wide.tall, 2),
        "spots": [
            [*map(_rounded, (one.x, one.y, other.x, other.y)), _words(figure, one)]
            for one, other in zip(wide.spots, narrow.spots, strict=True)
        ],
    }
    return Picture(Markup(_svg(wide, "wide") + _svg(narrow, "narrow")), script_json(data))


def _svg(drawn: Drawing, name: str) -> str:
    """The part of a drawing between title and caption. What draws has escaped all that it holds."""
    top, tall = _rounded(drawn.top), _rounded(drawn.below + 2 - drawn.top)
    body = "\n".join(drawn.parts)
    return (
        f'<svg class="{name}" focusable="false" '
        f'viewBox="0 {top} {_rounded(drawn.width)} {tall}">\n{body}\n</svg>\n'
    )


def _rounded(value: float) -> float:
    return round(value, 1)


def _words(figure: Figure, spot: Spot) -> str:
    """What a spot says: its series, where it is, its number and the interval."""
    trace = list(figure.data)[spot.trace]
    parts = [trace["name"]] if trace.get("name") else []
    parts += (_cell if len(spot.at) > 1 else _point)(figure, trace, *spot.at)
    return "\n".join(visible(part, _SHORT) for part in parts)


def _point(figure: Figure, trace: Trace, at: int) -> Iterator[str]:
    if text := _nth(trace.get("text"), at):
        yield str(text)
    if across := _named(figure, "x", _nth(trace["x"], at)):
        yield f"{_title(figure, 'x')}{across}{_bars(trace, 'x', at)}"
    if trace.get("type") == "box":
        low, q1, middle, q3, high = (format_number(trace[key][at]) for key in _FIVE)
        yield f"{_title(figure, 'y')}{middle}, half {q1} to {q3}, all {low} to {high}"
    elif up := _named(figure, "y", _nth(trace["y"], at)):
        yield f"{_title(figure, 'y')}{up}{_bars(trace, 'y', at)}"


def _cell(figure: Figure, trace: Trace, row: int, column: int) -> Iterator[str]:
    for axis, place in (("y", row), ("x", column)):
        value = _nth(trace.get(axis), place)
        yield f"{_title(figure, axis)}{_named(figure, axis, place if value is None else value)}"
    yield format_number(float(trace["z"][row][column]))


def _named(figure: Figure, axis: str, value: object) -> str:
    """A value as its axis names it; empty where it stands beside all that the axis names.

    Names stand at 0, 1, 2, …; what is drawn near one of them is moved aside to be seen.
    """
    told = figure.layout.get(f"{axis}axis") or {}
    places, names = list(told.get("tickvals") or ()), list(told.get("ticktext") or ())
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return str(value)
    if value in places[: len(names)]:
        return str(names[places.index(value)])
    if places and places == list(range(len(places))):
        return str(names[min(max(round(value), 0), len(names) - 1)]) if names else ""
    return "" if places else format_number(float(value))


def _bars(trace: Trace, axis: str, at: int) -> str:
    """The ends of an error bar."""
    bars = trace.get(f"error_{axis}") or {}
    value, up = _nth(trace[axis], at), _nth(bars.get("array"), at)
    down = up if bars.get("symmetric", True) else _nth(bars.get("arrayminus"), at)
    if not all(isinstance(one, (int, float)) for one in (value, up, down)):
        return ""
    return f" [{format_number(value - down)}, {format_number(value + up)}]"


def _title(figure: Figure, axis: str) -> str:
    told = (figure.layout.get(f"{axis}axis") or {}).get("title")
    text = told.get("text") if isinstance(told, Mapping) else told
    return f"{text}: " if text else ""


def _nth(values: Any, at: int) -> Any:
    return values[at] if isinstance(values, (list, tuple)) and at < len(values) else None
