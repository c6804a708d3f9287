"""One figure of the report as an SVG file that needs nothing else: no script, no other file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.contract import Figure
from harness.drawing import marks
from harness.drawing.elements import (
    FONT,
    INK,
    PAPER,
    RULE,
    SOFT,
    element,
    number,
    safe,
    text,
    width,
    wrapped,
)
from harness.drawing.heat import colour_bar
from harness.drawing.scales import Scale, Tick, scale, ticks
from harness.drawing.spots import Spot, spots
from harness.drawing.traces import Frame, Trace, draw, sample, values

WIDTH = 860
_EDGE = 20
_TALL = 330
"""The least height of the axes."""
_TITLE, _SMALL = 16, 12
_LONGEST = 34
"""Characters of a name beside an axis."""


@dataclass(frozen=True)
class Margins:
    """Room around the axes, in pixels from the edges of the picture."""

    left: float
    right: float
    top: float
    below: float
    """For the names of the x axis and its title."""


@dataclass(frozen=True)
class Drawing:
    """A figure as it was drawn, and where its parts are, in pixels from the top left."""

    parts: Sequence[str]
    """Its elements, from the ground upwards."""
    width: float
    tall: float
    top: float
    """Where its title ends."""
    below: float
    """Where its caption begins."""
    spots: Sequence[Spot]
    """Where the numbers of the traces stand."""


def svg(figure: Figure, caption: Sequence[str]) -> str:
    """The file: title, axes, traces, legend, and below it the lines of a caption.

    The numbers are those of `figure.data`, the traces that the report draws. Where one is missing,
    there is a gap. The same figure gives the same bytes.
    """
    drawn = drawing(figure, caption, WIDTH)
    return _file(figure, drawn.parts, drawn.tall)


def drawing(figure: Figure, caption: Sequence[str], wide: float) -> Drawing:
    """The same in any width, in pixels, for a page that shows a part of it."""
    traces = list(figure.data)
    axes = {axis: dict(figure.layout.get(f"{axis}axis") or {}) for axis in "xy"}
    found = {axis: [v for trace in traces for v in values(trace, axis)] for axis in "xy"}
    heat = next((trace for trace in traces if trace.get("type") == "heatmap"), None)
    title = wrapped(figure.title, _TITLE, wide - 2 * _EDGE, 3)
    x, y = (scale(axes[axis], found[axis], 0, 1, half=heat is not None) for axis in "xy")
    steep = _crowded(ticks(axes["x"], x), wide - min(200, wide / 4), wide)
    margins = _margins(axes, x, y, len(title), wide, steep=steep, heat=heat is not None)
    tall = max(_TALL, float(figure.layout.get("height", 0)) - 110)
    bottom = margins.top + tall
    x = scale(axes["x"], found["x"], margins.left, wide - margins.right, half=heat is not None)
    y = scale(axes["y"], found["y"], bottom, margins.top, half=heat is not None)
    parts = [
        *(_heading(title)),
        *_axes(axes, x, y, wide, steep=steep, grid=heat is None),
        *_borders(figure.layout, Frame(x, y)),
        *draw(traces, Frame(x, y)),
    ]
    if heat is not None:
        parts += colour_bar(heat, wide - margins.right + 14, margins.top, bottom)
    at = bottom + margins.below
    legend, at = _legend(figure, traces, at, wide)
    parts += legend
    below = at
    for line in caption:
        for piece in wrapped(line, _SMALL, wide - 2 * _EDGE, 3):
            at += 17
            parts.append(text(piece, _EDGE, at, size=_SMALL, fill=SOFT))
    tall = at + _EDGE
    ground = element(
        "rect", x=0.5, y=0.5, width=wide - 1, height=tall - 1, rx=6, fill=PAPER, stroke=RULE
    )
    return Drawing(
        [part for part in [ground, *parts] if part], wide, tall, margins.top - 12, below,
        list(spots(traces, Frame(x, y))),
    )  # fmt: skip


def _file(figure: Figure, parts: Sequence[str], tall: float) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{number(tall)}" '
        f'viewBox="0 0 {WIDTH} {number(tall)}" font-family="{FONT}" role="img">\n'
        f"<title>{safe(figure.title)}</title>\n<desc>{safe(figure.description)}</desc>\n"
        f"{body}\n</svg>\n"
    )


def _heading(lines: Sequence[str]) -> Iterator[str]:
    for place, line in enumerate(lines):
        yield text(line, _EDGE, _EDGE + 14 + 21 * place, size=_TITLE, weight="600")


def _margins(
    axes: Mapping[str, Mapping[str, Any]],
    x: Scale,
    y: Scale,
    lines: int,
    wide: float,
    *,
    steep: bool,
    heat: bool,
) -> Margins:
    names = [_cut(tick.label, wide) for tick in ticks(axes["y"], y)]
    left = _EDGE + 14 + max((width(name, _SMALL) for name in names), default=30.0)
    left += 20 if _title(axes["y"]) else 0
    across = [width(_cut(tick.label, wide), _SMALL) for tick in ticks(axes["x"], x)]
    if steep:  # the first name reaches beyond the axis
        left = max(left, _EDGE + across[0] * 0.78 - (wide - left) / len(across) / 2)
    below = (
        24
        + (max(across, default=0.0) * 0.64 if steep else 0)
        + (6 + 16 * len(_lines(axes["x"], wide)) if _title(axes["x"]) else 0)
    )
    return Margins(min(left, wide / 2), 76 if heat else 34, _EDGE + 12 + 21 * lines, below)


def _axes(
    axes: Mapping[str, Mapping[str, Any]],
    x: Scale,
    y: Scale,
    wide: float,
    *,
    steep: bool,
    grid: bool,
) -> Iterator[str]:
    top, bottom, left, right = y.end, y.start, x.start, x.end
    yield element(
        "rect", x=left, y=top, width=right - left, height=bottom - top, fill="none", stroke=RULE
    )
    for tick in ticks(axes["y"], y):
        if grid and axes["y"].get("showgrid", True):
            yield element("line", x1=left, x2=right, y1=tick.at, y2=tick.at, stroke="#eaeef2")
        yield text(
            _cut(tick.label, wide), left - 8, tick.at + 4, size=_SMALL, fill=INK, anchor="end"
        )
    edge = 0.0
    for tick in sorted(ticks(axes["x"], x), key=lambda tick: tick.at):
        name = _cut(tick.label, wide)
        half = width(name, _SMALL) / 2
        if grid and axes["x"].get("showgrid", True):
            yield element("line", x1=tick.at, x2=tick.at, y1=top, y2=bottom, stroke="#eaeef2")
        if steep:
            yield text(name, tick.at + 4, bottom + 16, anchor="end", turn=-40)
        elif tick.at - half >= edge:  # else it would run into the one before it
            yield text(name, tick.at, bottom + 18, anchor="middle")
            edge = tick.at + half
    if lines := _lines(axes["x"], wide):
        deepest = max(
            (width(_cut(t.label, wide), _SMALL) for t in ticks(axes["x"], x)), default=0.0
        )
        at = bottom + 24 + (deepest * 0.64 if steep else 0) + 16
        longest = max(width(line, 13) for line in lines)
        middle = (left + right) / 2 if longest <= right - left else wide / 2
        for place, line in enumerate(lines):
            yield text(line, middle, at + 16 * place, size=13, fill=SOFT, anchor="middle")
    if name := _title(axes["y"]):
        yield text(
            name, _EDGE + 4, (top + bottom) / 2, size=13, fill=SOFT, anchor="middle", turn=-90
        )


def _borders(layout: Mapping[str, Any], frame: Frame) -> Iterator[str]:
    """Lines across the whole height, which the report draws between parts of an axis."""
    for shape in layout.get("shapes") or ():
        if shape.get("type") == "line" and shape.get("yref") == "paper":
            ends = [frame.x.at(shape.get(key)) for key in ("x0", "x1")]
            places = [
                (x, y)
                for x, y in zip(ends, (frame.y.start, frame.y.end), strict=True)
                if x is not None
            ]
            yield marks.line(places, shape.get("line") or {})


def _legend(
    figure: Figure, traces: Sequence[Trace], at: float, wide: float
) -> tuple[list[str], float]:
    """The names of the traces in rows, and where the last row ends."""
    named = [t for t in traces if t.get("name") and t.get("showlegend", True)]
    several = figure.layout.get("showlegend", len(named) > 1)
    heat = any(trace.get("type") == "heatmap" for trace in traces)
    if heat or not named or not (several or not _title(figure.layout.get("yaxis") or {})):
        return [], at
    parts, x, y = [], float(_EDGE), at + 18
    for trace in named:
        for place, name in enumerate(wrapped(trace["name"], _SMALL, wide - 3 * _EDGE - 32, 2)):
            room = 32 + width(name, _SMALL) + 22
            if place or (x > _EDGE and x + room > wide - _EDGE):
                x, y = float(_EDGE), y + 19
            if not place:
                parts.append(sample(trace, x, y - 4))
            parts.append(text(name, x + 32, y))
            x += room
    return parts, y + 6


def _crowded(found: Sequence[Tick], room: float, wide: float) -> bool:
    """Whether the names of an axis would run into each other."""
    return sum(width(_cut(tick.label, wide), _SMALL) + 12 for tick in found) > room


def _cut(label: str, wide: float) -> str:
    longest = min(_LONGEST, int((wide / 2 - 42) / width("n", _SMALL)))
    return label if len(label) <= longest else f"{label[: longest - 1]}…"


def _lines(axis: Mapping[str, Any], wide: float) -> list[str]:
    """The title of an axis in at most two lines."""
    return wrapped(_title(axis), 13, wide - 2 * _EDGE, 2)


def _title(axis: Mapping[str, Any]) -> str:
    told = axis.get("title")
    found = told.get("text") if isinstance(told, Mapping) else told
    return "" if found is None else str(found)
