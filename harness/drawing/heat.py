"""The cells of a heat map, each with its number, and the bar that says what its colours mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from harness.drawing.elements import INK, SOFT, element, text
from harness.drawing.scales import Scale, is_number

_STEPS = 32
_GREY = [[0.0, "#f4f4f4"], [1.0, "#404040"]]


def cells(trace: Mapping[str, Any], x: Scale, y: Scale) -> Iterator[str]:
    """A coloured cell for each number; where there is none, nothing is drawn."""
    low, high = span(trace)
    texts = trace.get("text") or ()
    gap = float(trace.get("xgap", 0)) / 2
    for row, line in enumerate(trace.get("z") or ()):
        for column, value in enumerate(line):
            at = x.at(named(trace, "x", column)), y.at(named(trace, "y", row))
            if at[0] is None or at[1] is None or not is_number(value):
                continue
            colour = _blend(trace, (value - low) / ((high - low) or 1))
            yield element(
                "rect", x=at[0] - x.slot / 2 + gap, y=at[1] - y.slot / 2 + gap,
                width=x.slot - 2 * gap, height=y.slot - 2 * gap, fill=_hex(colour),
            )  # fmt: skip
            written = texts[row][column] if row < len(texts) and column < len(texts[row]) else ""
            ink = INK if sum(colour) > 380 else "#ffffff"
            yield text(written, at[0], at[1] + 4, size=11, fill=ink, anchor="middle")


def colour_bar(trace: Mapping[str, Any], x: float, top: float, bottom: float) -> Iterator[str]:
    """The colours from the smallest number to the largest, upwards."""
    low, high = span(trace)
    tall = (bottom - top) / _STEPS
    for step in range(_STEPS):
        colour = _blend(trace, (step + 0.5) / _STEPS)
        y = bottom - tall * (step + 1)
        yield element("rect", x=x, y=y, width=10, height=tall + 0.4, fill=_hex(colour))
    for value, y in ((low, bottom), ((low + high) / 2, (top + bottom) / 2 + 4), (high, top + 8)):
        yield text(f"{value:.3g}", x + 14, y, size=11, fill=SOFT)


def span(trace: Mapping[str, Any]) -> tuple[float, float]:
    """The numbers at both ends of the colours; around `zmid` they are as far from it."""
    numbers = [value for line in trace.get("z") or () for value in line if is_number(value)]
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    middle = trace.get("zmid")
    if is_number(middle):
        far = max(abs(low - middle), abs(high - middle)) or 1.0
        return middle - far, middle + far
    return low, high


def named(trace: Mapping[str, Any], axis: str, place: int) -> object:
    """What a heat map calls a column (`x`) or row (`y`); its number where it has no names."""
    named = trace.get(axis)
    return named[place] if isinstance(named, (list, tuple)) and place < len(named) else place


def _blend(trace: Mapping[str, Any], share: float) -> tuple[int, int, int]:
    told = trace.get("colorscale")
    chosen: Any = told if _is_scale(told) else _GREY
    stops = [(float(at), _rgb(str(colour))) for at, colour in chosen]
    share = min(max(share, 0.0), 1.0)
    for (low, below), (high, above) in pairwise(stops):
        if share <= high:
            part = (share - low) / ((high - low) or 1)
            red, green, blue = (
                round(a + (b - a) * part) for a, b in zip(below, above, strict=True)
            )
            return red, green, blue
    return stops[-1][1]


def _is_scale(told: Any) -> bool:
    """Whether a colour scale is a list of places and hexadecimal colours."""
    return isinstance(told, Sequence) and not isinstance(told, str) and len(told) > 1 and all(
        len(stop) == 2 and is_number(stop[0]) and str(stop[1])[:1] == "#" and len(stop[1]) == 7
        for stop in told
    )  # fmt: skip


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue


def _hex(colour: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)
