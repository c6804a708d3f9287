"""Points with intervals, for figures: what is drawn, and the row of the table below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.contract import JSON, Record
from harness.results.numbers import format_estimate, format_number


@dataclass(frozen=True)
class Point:
    """One number somewhere on an axis."""

    at: JSON
    value: float | None
    low: float | None = None
    high: float | None = None
    row: Mapping[str, JSON] = field(default_factory=dict)
    """What the table says of it, beside where it is."""

    @property
    def text(self) -> str:
        """`0.58 [0.48, 0.67]`."""
        if self.value is None:
            return "undefined"
        if self.low is None or self.high is None:
            return format_number(self.value)
        return (
            f"{format_number(self.value)} [{format_number(self.low)}, {format_number(self.high)}]"
        )


@dataclass(frozen=True)
class Line:
    """Points that belong together; `faint` draws them as a level to read others by."""

    label: str
    points: tuple[Point, ...]
    faint: bool = False


def point(at: JSON, record: Record) -> Point:
    """A record at a place, with all of its numbers in the row."""
    low, high = record.ci or (None, None)
    return Point(at, record.value, low, high, told(record))


def told(record: Record) -> dict[str, JSON]:
    """A record's numbers as columns of a row."""
    low, high = record.ci or (None, None)
    row: dict[str, JSON] = {"value": record.value, "from": low, "to": high}
    row["n"] = f"{record.n:,} {record.n_of}"
    if record.undefined:
        row["why there is none"] = record.undefined
    return row


def bars(points: Sequence[Point], colour: str) -> dict[str, Any]:
    """Plotly's error bars, of any of its two axes."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [_gap(one.value, one.high) for one in points],
        "arrayminus": [_gap(one.low, one.value) for one in points],
        "color": colour,
        "thickness": 1.2,
        "width": 3,
    }


def _gap(low: float | None, high: float | None) -> float:
    return 0.0 if low is None or high is None else max(0.0, high - low)


def reasons(records: Sequence[Record]) -> list[str]:
    """Why numbers are undefined, each reason once, as sentences below a table."""
    return [f"Undefined: {why}." for why in dict.fromkeys(r.undefined for r in records) if why]


def cell(record: Record | None) -> str:
    """A record in a table; empty where there is none."""
    return "" if record is None else format_estimate(record)
