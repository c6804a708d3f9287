"""Points with intervals, for figures: what is drawn, and the row of the table below it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.contract import JSON, Record
from harness.results import (
    format_draws,
    format_estimate,
    format_number,
    null_value,
    undefined_reasons,
)
from harness_sections.charts.styles import GREY, Style

_FAINT = Style(GREY, "line-ew", "dot")


@dataclass(frozen=True)
class Point:
    """One number at a place on an axis."""

    at: JSON
    value: float | None
    low: float | None = None
    high: float | None = None
    row: Mapping[str, JSON] = field(default_factory=dict)
    """The cells of its row in the table, beside its place."""
    records: tuple[Record, ...] = ()
    """What it is the number of; several where it is their mean."""

    @property
    def text(self) -> str:
        """`0.58 [0.48, 0.67]`."""
        text = format_number(self.value)
        if self.value is None or self.low is None or self.high is None:
            return text
        return f"{text} [{format_number(self.low)}, {format_number(self.high)}]"


@dataclass(frozen=True)
class Line:
    """Points that belong together; a faint line is drawn in grey, for comparison with others."""

    label: str
    points: tuple[Point, ...]
    faint: bool = False


def point_of(at: JSON, record: Record) -> Point:
    """The point of a record, with all of its numbers in the row."""
    low, high = record.ci or (None, None)
    return Point(at, record.value, low, high, record_row(record), (record,))


def chance_points(records: Mapping[Any, Record], key: str = "value") -> tuple[Point, ...]:
    """At each place what the record there would be by chance, where that is known."""
    return tuple(
        Point(at, value, row={"value": value}, records=(record,))
        for at, record in records.items()
        if (value := null_value(record, key)) is not None
    )


def shown_records(lines: Iterable[Line]) -> tuple[Record, ...]:
    """The records of all points, each once."""
    every = (record for line in lines for point in line.points for record in point.records)
    return tuple({id(record): record for record in every}.values())


def record_row(record: Record, more: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
    """A record's numbers as cells of a row: value and interval, then `more`, then the count."""
    low, high = record.ci or (None, None)
    row: dict[str, JSON] = {"value": record.value, "from": low, "to": high, **(more or {})}
    row["n"] = f"{record.n:,} {record.n_of}"
    if record.undefined:
        row["why there is none"] = record.undefined
    return row


def line_trace(
    line: Line, styles: Mapping[str, Style], *, joined: bool = True, faint_width: float = 2
) -> dict[str, Any]:
    """Plotly's trace of a line: markers with error bars, joined by a line unless told not to."""
    style = styles.get(line.label, _FAINT)
    width = faint_width if line.faint else 2
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers" if joined else "markers",
        "name": line.label,
        "x": [one.at for one in line.points],
        "y": [one.value for one in line.points],
        "line": {"color": style.colour, "dash": style.dash, "width": width},
        "marker": {"color": style.colour, "symbol": style.marker, "size": 8},
    }
    if line.faint:
        trace["marker"]["line"] = {"color": style.colour, "width": 2}
    if any(one.low is not None for one in line.points):
        trace["error_y"] = error_bars(line.points, style.colour)
    return trace


def error_bars(points: Sequence[Point], colour: str) -> dict[str, Any]:
    """Plotly's error bars of the points, for either axis."""
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


def reason_sentences(records: Sequence[Record]) -> list[str]:
    """Why numbers are undefined, each reason once, as sentences below a table."""
    return [f"Undefined: {why}." for why in undefined_reasons(records)]


def cell_text(record: Record | None) -> str:
    """A record in a table; empty where there is none."""
    return "" if record is None else format_estimate(record)


def number_text(value: float | None) -> str:
    """A number in a table; empty where there is none."""
    return "" if value is None else format_number(value)


def draws_text(records: Sequence[Record]) -> str:
    """Records of one number in a table: the one with its interval, or the range of draws."""
    if len(records) == 1:
        return format_estimate(records[0])
    return format_draws(records) if records else ""
