"""The traces of a figure inside its axes: lines with points, bars, boxes and heat maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.drawing import marks
from harness.drawing.elements import SOFT, element, paint, text
from harness.drawing.heat import cells
from harness.drawing.scales import Scale, is_number

Trace = Mapping[str, Any]
_BOX = ("lowerfence", "q1", "median", "q3", "upperfence")
_GROUP = 0.8
"""The share of a category that its bars or boxes take."""
_UNKNOWN = {
    "annotations", "images", "grid", "sliders", "updatemenus", "polar", "geo", "scene", "ternary"
}  # fmt: skip
"""What a layout may hold and no picture shows."""


@dataclass(frozen=True)
class Frame:
    """The axes inside which traces are drawn."""

    x: Scale
    y: Scale

    def at(self, x: object, y: object) -> tuple[float, float] | None:
        """Where a point stands, in pixels; None where one of its values has no place."""
        across, up = self.x.at(x), self.y.at(y)
        return None if across is None or up is None else (across, up)


def undrawable(traces: Sequence[Trace], layout: Mapping[str, Any] | None = None) -> str | None:
    """Why these traces have no picture here; None where they can be drawn.

    With plotly's `layout`, too, it is also said where that asks for more than is drawn here.
    """
    for key in layout or {}:
        if key in _UNKNOWN or (key[:5] in ("xaxis", "yaxis") and key[5:]):
            return f"no picture is made of a layout with {key}"
    bars = any(trace.get("type") == "bar" for trace in traces)
    if bars and (layout or {}).get("barmode", "group") != "group":
        return "bars are drawn beside each other alone"
    for trace in traces:
        if {str(trace.get("xaxis", "x")), str(trace.get("yaxis", "y"))} != {"x", "y"}:
            return "no picture is made of more than one pair of axes"
        if trace.get("orientation") == "h" or trace.get("stackgroup"):
            return "no picture is made of traces that lie down or are stacked"
        if trace.get("fill") not in (None, "none", "toself"):
            return "of areas only closed ones are drawn"
        kind = trace.get("type", "scatter")
        if kind not in _DRAW:
            return f"no picture is made of traces of the type {kind}"
        if kind == "box" and not all(isinstance(trace.get(key), (list, tuple)) for key in _BOX):
            return "boxes are drawn from their quantiles alone"
    return None


def values(trace: Trace, axis: str) -> list[object]:
    """Everything of a trace that needs room on an axis, the ends of its error bars included."""
    if trace.get("type") == "box" and axis == "y":
        return [value for key in _BOX for value in trace[key]]
    found = list(trace.get(axis) or ())
    bars = trace.get(f"error_{axis}") or {}
    for value, up, down in zip(found, *_arms(bars, len(found)), strict=False):
        if is_number(value):
            found += [value + up, value - down]
    return [*found, 0.0] if trace.get("type") == "bar" and axis == "y" else found


def draw(traces: Sequence[Trace], frame: Frame) -> Iterator[str]:
    """The traces, those that come first below the others."""
    grouped = [trace for trace in traces if trace.get("type") in ("bar", "box")]
    for trace in traces:
        place = grouped.index(trace) if trace in grouped else 0
        yield from _DRAW[str(trace.get("type", "scatter"))](trace, frame, place, len(grouped))


def sample(trace: Trace, x: float, y: float) -> str:
    """What stands beside a trace's name in the legend, 26 pixels wide."""
    if trace.get("type") in ("bar", "box"):
        style = trace.get("marker") or trace.get("line") or {}
        return element("rect", x=x + 6, y=y - 6, width=14, height=12, **paint(style.get("color")))
    mode = str(trace.get("mode", "lines+markers"))
    found = ""
    if "lines" in mode:
        found += marks.line([(x, y), (x + 26, y)], trace.get("line") or {})
    if "markers" in mode:
        found += marks.point(trace.get("marker") or {}, x + 13, y)
    return found


def _scatter(trace: Trace, frame: Frame, place: int, of: int) -> Iterator[str]:
    mode = str(trace.get("mode", "lines+markers"))
    xs, ys = list(trace.get("x") or ()), list(trace.get("y") or ())
    places = [frame.at(x, y) for x, y in zip(xs, ys, strict=False)]
    if trace.get("fill") == "toself":
        yield marks.area(places, trace.get("fillcolor", "rgba(118,118,118,0.13)"))
    if "lines" in mode:
        yield marks.line(places, trace.get("line") or {})
    for axis in "xy":
        yield from _errors(trace, frame, axis, places)
    if "markers" in mode:
        for at in places:
            if at is not None:
                yield marks.point(trace.get("marker") or {}, *at)
    if "text" in mode:
        yield from _labels(trace, places)


def _errors(
    trace: Trace, frame: Frame, axis: str, places: Sequence[tuple[float, float] | None]
) -> Iterator[str]:
    bars = trace.get(f"error_{axis}")
    if not bars:
        return
    scale = frame.x if axis == "x" else frame.y
    found = list(trace.get(axis) or ())
    for value, up, down, at in zip(found, *_arms(bars, len(found)), places, strict=False):
        if at is None or not is_number(value) or not (up or down):
            continue
        low, high = scale.at(value - down), scale.at(value + up)
        if low is not None and high is not None:
            yield marks.whisker(low, high, at[1] if axis == "x" else at[0], bars, axis)


def _labels(trace: Trace, places: Sequence[tuple[float, float] | None]) -> Iterator[str]:
    labels, sides = trace.get("text") or (), trace.get("textposition", "top center")
    for number, (label, at) in enumerate(zip(labels, places, strict=False)):
        if at is None:
            continue
        side = sides[number] if isinstance(sides, (list, tuple)) else sides
        height, _, across = str(side).partition(" ")
        anchor = {"left": "end", "right": "start"}.get(across, "middle")
        dx = {"left": -8, "right": 8}.get(across, 0)
        dy = {"top": -9, "bottom": 17}.get(height, 4)
        yield text(label, at[0] + dx, at[1] + dy, size=11, fill=SOFT, anchor=anchor)


def beside(trace: Trace, traces: Sequence[Trace], frame: Frame) -> float:
    """How far the middle of a bar or box is from that of its group, in pixels."""
    grouped = [one for one in traces if one.get("type") in ("bar", "box")]
    if trace not in grouped:
        return 0.0
    return (grouped.index(trace) - (len(grouped) - 1) / 2) * _wide(trace, frame, len(grouped))


def _wide(trace: Trace, frame: Frame, of: int) -> float:
    """How wide a bar or box is."""
    wide = frame.x.slot * _GROUP / max(of, 1)
    return min(wide, 80.0) if trace.get("type") == "box" else wide


def _bars(trace: Trace, frame: Frame, place: int, of: int) -> Iterator[str]:
    ground = frame.y.at(0.0)
    wide = _wide(trace, frame, of)
    colour = (trace.get("marker") or {}).get("color", marks.GREY)
    for x, y in zip(trace.get("x") or (), trace.get("y") or (), strict=False):
        at = frame.at(x, y)
        if at is None or ground is None:
            continue
        left = at[0] - frame.x.slot * _GROUP / 2 + wide * place
        top, bottom = sorted((at[1], ground))
        yield element("rect", x=left, y=top, width=wide, height=bottom - top, **paint(colour))


def _boxes(trace: Trace, frame: Frame, place: int, of: int) -> Iterator[str]:
    wide = _wide(trace, frame, of)
    line = trace.get("line") or {}
    stroke = paint(line.get("color", marks.GREY), "stroke")
    numbers = zip(*(trace[key] for key in _BOX), strict=True)
    for x, five in zip(trace.get("x") or (), numbers, strict=False):
        middle, ys = frame.x.at(x), [frame.y.at(value) for value in five]
        if middle is None or None in ys:
            continue
        low, q1, median, q3, high = (y for y in ys if y is not None)
        middle += (place - (of - 1) / 2) * wide
        left = middle - wide * 0.4
        yield marks.whisker(low, high, middle, {"color": line.get("color")}, "y")
        yield element("rect", x=left, y=q3, width=wide * 0.8, height=q1 - q3, fill="#ffffff")
        yield element(
            "rect", x=left, y=q3, width=wide * 0.8, height=q1 - q3, stroke_width=1.5,
            **stroke, **paint(trace.get("fillcolor", "rgba(118,118,118,0.13)")),
        )  # fmt: skip
        yield element(
            "line", x1=left, x2=left + wide * 0.8, y1=median, y2=median, stroke_width=2, **stroke
        )


def _heat(trace: Trace, frame: Frame, place: int, of: int) -> Iterator[str]:
    yield from cells(trace, frame.x, frame.y)


_DRAW = {"scatter": _scatter, "bar": _bars, "box": _boxes, "heatmap": _heat}


def _arms(bars: Mapping[str, Any], count: int) -> tuple[list[float], list[float]]:
    """How far error bars go up and down."""
    up = list(bars.get("array") or ())
    down = up if bars.get("symmetric", True) else list(bars.get("arrayminus") or ())

    def filled(arms: list[Any]) -> list[float]:
        known = [float(arm) if is_number(arm) else 0.0 for arm in arms[:count]]
        return known + [0.0] * (count - len(known))

    return filled(up), filled(down)
