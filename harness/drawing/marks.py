"""Points, lines and bars of uncertainty, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.drawing.elements import element, number, paint

GREY = "#767676"
_DASHES = {"dash": "9 5", "dot": "2 4", "dashdot": "9 4 2 4", "longdash": "14 6"}
_CAP = 3.5
"""Half of the stroke at the end of an error bar."""
_SHAPES = {
    "square": "M-1 -1H1V1H-1Z",
    "diamond": "M0 -1.3L1.3 0L0 1.3L-1.3 0Z",
    "triangle-up": "M0 -1.2L1.2 1H-1.2Z",
    "star": "M0 -1.4L.35 -.45L1.35 -.4L.55 .2L.85 1.2L0 .6L-.85 1.2L-.55 .2L-1.35 -.4L-.35 -.45Z",
}
"""Outlines around 0 with a radius of 1."""
_STROKES = {
    "x": "M-1 -1L1 1M-1 1L1 -1",
    "cross": "M-1.2 0H1.2M0 -1.2V1.2",
    "line-ew": "M-1.2 0H1.2",
    "line-ns": "M0 -1.2V1.2",
}


def point(marker: Mapping[str, Any], x: float, y: float) -> str:
    """A marker of plotly; a disc for a symbol that is not drawn here."""
    symbol = str(marker.get("symbol", "circle"))
    name, hollow = symbol.removesuffix("-open"), symbol.endswith("-open")
    colour, radius = marker.get("color", GREY), float(marker.get("size", 8)) / 2
    at = f"translate({number(x)} {number(y)}) scale({number(radius)})"
    if name in _STROKES:
        width = 2.4 / radius
        return element(
            "path", d=_STROKES[name], transform=at, fill="none", stroke_width=width,
            **paint(colour, "stroke"),
        )  # fmt: skip
    looks = paint(colour, "stroke") | {"fill": "#ffffff"} if hollow else paint(colour)
    if name in _SHAPES:
        line = 1.6 / radius if hollow else None
        return element("path", d=_SHAPES[name], transform=at, stroke_width=line, **looks)
    return element("circle", cx=x, cy=y, r=radius, stroke_width=1.6 if hollow else None, **looks)


def line(places: Sequence[tuple[float, float] | None], style: Mapping[str, Any]) -> str:
    """A line through places; it is interrupted where a place is missing, and never joined over."""
    width = float(style.get("width", 2))
    if not width:
        return ""
    parts: list[list[tuple[float, float]]] = [[]]
    for place in places:
        if place is None:
            parts.append([])
        else:
            parts[-1].append(place)
    path = "".join(_path(part) for part in parts if len(part) > 1)
    if not path:
        return ""
    return element(
        "path", d=path, fill="none", stroke_width=width, stroke_linejoin="round",
        stroke_dasharray=_DASHES.get(str(style.get("dash"))),
        **paint(style.get("color", GREY), "stroke"),
    )  # fmt: skip


def area(places: Sequence[tuple[float, float] | None], colour: object) -> str:
    """A closed area, without an outline."""
    known = [place for place in places if place is not None]
    return element("path", d=f"{_path(known)}Z", **paint(colour)) if len(known) > 2 else ""


def whisker(low: float, high: float, across: float, style: Mapping[str, Any], axis: str) -> str:
    """An error bar from `low` to `high` along the axis `x` or `y`, with a stroke at both ends."""
    ends = [(low, across - _CAP, across + _CAP), (high, across - _CAP, across + _CAP)]
    if axis == "y":
        path = f"M{number(across)} {number(low)}V{number(high)}"
        path += "".join(f"M{number(a)} {number(at)}H{number(b)}" for at, a, b in ends)
    else:
        path = f"M{number(low)} {number(across)}H{number(high)}"
        path += "".join(f"M{number(at)} {number(a)}V{number(b)}" for at, a, b in ends)
    return element(
        "path", d=path, fill="none", stroke_width=float(style.get("thickness", 1.2)),
        **paint(style.get("color", GREY), "stroke"),
    )  # fmt: skip


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in places)
