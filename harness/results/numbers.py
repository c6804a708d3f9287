"""How numbers are written for people, the same on the terminal and in the report."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.contract import Record

MIN_CLUSTERS = 20
"""Documents below which there is no interval: of fewer it may cover less than 90%."""
MIN_UNLIKE = 10
"""Of yes and no: how many must be unlike most for an interval by resampling."""


def format_number(value: float | None) -> str:
    """The number with the digits that a reader needs: `0.58`, `0.003`, `0.997`, `30.5`, `12,345`.

    Of a share or a cosine just below 1 the distance to 1 is what is read: 0.99973 is `0.9997`, and
    only what is nearer than a millionth is `1.00`. None is `undefined`.
    """
    if value is None:
        return "undefined"
    if 1e4 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    if abs(value) >= 10 or (value == int(value) and value != 1):
        return f"{value:.4g}"
    if 1e-6 <= 1 - abs(value) < 0.0050001:
        return f"{value:.{ceil(-log10(1 - abs(value)) - 1e-6)}f}".rstrip("0")
    return f"{value:.2f}" if abs(value) >= 0.005 else f"{value:.1g}"


def format_estimate(record: Record) -> str:
    """A record's value with its interval: `0.58 [0.48, 0.67]`, or `undefined`."""
    text = format_number(record.value)
    if record.value is None or record.ci is None:
        return text
    return f"{text} [{', '.join(map(format_number, record.ci))}]"


def format_draws(records: Sequence[Record]) -> str:
    """Mean and range of the values of repeated draws: `0.73 (0.35 to 0.97)`, or `undefined`."""
    values = [record.value for record in records if record.value is not None]
    if not values:
        return "undefined"
    mean, low, high = sum(values) / len(values), min(values), max(values)
    return f"{format_number(mean)} ({format_number(low)} to {format_number(high)})"
