"""How numbers are written for people, the same on the terminal and in the report."""

from __future__ import annotations

from harness.contract import Record


def number(value: float) -> str:
    """A number with as many digits as are read."""
    if 1e4 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    if abs(value) >= 10 or (value == int(value) and value != 1):
        return f"{value:.4g}"
    return f"{value:.2f}" if abs(value) >= 0.005 else f"{value:.1g}"


def estimate(record: Record) -> str:
    """A record's value with its interval: `0.58 [0.48, 0.67]`, or `undefined`."""
    if record.value is None:
        return "undefined"
    text = number(record.value)
    if record.ci is not None:
        text += f" [{number(record.ci[0])}, {number(record.ci[1])}]"
    return text
