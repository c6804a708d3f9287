"""Where the numbers of a figure stand in its picture: what a page says under the pointer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.drawing.heat import named
from harness.drawing.scales import is_number
from harness.drawing.traces import Frame, Trace, beside


@dataclass(frozen=True)
class Spot:
    """One number: its place in pixels, and where in the traces it is."""

    x: float
    y: float
    trace: int
    """Which trace, counted from 0."""
    at: tuple[int, ...]
    """Which of its points; of a heat map row and column."""


def spots(traces: Sequence[Trace], frame: Frame) -> Iterator[Spot]:
    """The spots of all traces but those that are drawn for orientation: `hoverinfo` is `skip`."""
    for number, trace in enumerate(traces):
        if trace.get("hoverinfo") == "skip":
            continue
        kind = trace.get("type", "scatter")
        found = _cells(trace) if kind == "heatmap" else _points(trace, kind)
        aside = beside(trace, traces, frame)
        for at, x, y in found:
            where = frame.at(x, y)
            if where is not None:
                yield Spot(where[0] + aside, where[1], number, at)


def _points(trace: Trace, kind: str) -> Iterator[tuple[tuple[int, ...], Any, Any]]:
    ups = trace.get("median" if kind == "box" else "y") or ()
    for at, (x, y) in enumerate(zip(trace.get("x") or (), ups, strict=False)):
        yield (at,), x, y


def _cells(trace: Trace) -> Iterator[tuple[tuple[int, ...], Any, Any]]:
    for row, line in enumerate(trace.get("z") or ()):
        for column, value in enumerate(line):
            if is_number(value):
                yield (row, column), named(trace, "x", column), named(trace, "y", row)
