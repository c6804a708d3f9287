"""Axes: where a value stands in the picture, and the marks beside which its numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

_ROOM = 0.05
_TICKS = 6


@dataclass(frozen=True)
class Tick:
    """A mark of an axis."""

    at: float
    """In pixels."""
    label: str


@dataclass(frozen=True)
class Scale:
    """One axis, from `start` to `end` in pixels; `low` and `high` are at these."""

    start: float
    end: float
    low: float
    high: float
    """Logarithms to the base 10 where `log`."""
    log: bool = False
    names: Mapping[str, int] | None = None
    """By category, its place 0, 1, 2, …; None for an axis of numbers."""

    def at(self, value: object) -> float | None:
        """Where a value stands, in pixels; None where it has no place, as a missing one."""
        if self.names is not None:
            place = self.names.get(str(value))
            return None if value is None or place is None else self._pixel(place)
        if not is_number(value):
            return None
        if self.log:
            return self._pixel(math.log10(value)) if value > 0 else None
        return self._pixel(float(value))

    @property
    def slot(self) -> float:
        """The width of a category, or of 1, in pixels."""
        return abs(self.end - self.start) / (abs(self.high - self.low) or 1)

    def _pixel(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1)
        return self.start + share * (self.end - self.start)


def scale(
    axis: Mapping[str, Any], values: Sequence[object], start: float, end: float, *, half: bool
) -> Scale:
    """The scale of plotly's `axis` for these values; `half` leaves half a unit beside the ends."""
    known = [value for value in values if value is not None]
    if axis.get("type") == "category" or any(isinstance(value, str) for value in known):
        told = axis.get("categoryarray") or ()
        names = {name: place for place, name in enumerate(dict.fromkeys(map(str, [*told, *known])))}
        return Scale(start, end, -0.5, max(len(names), 1) - 0.5, names=names)
    log = axis.get("type") == "log"
    numbers = [float(value) for value in known if is_number(value) and (value > 0 or not log)]
    low, high = _range(axis, [math.log10(n) for n in numbers] if log else numbers, half)
    return Scale(start, end, low, high, log)


def ticks(axis: Mapping[str, Any], scale: Scale) -> list[Tick]:
    """The marks of an axis: those that it names, each category, or round numbers."""
    if scale.names is not None:
        found = [(name, name) for name in scale.names]
        return [Tick(at, label) for name, label in found if (at := scale.at(name)) is not None]
    told = axis.get("tickvals")
    if told is not None:
        values, labels = list(told), axis.get("ticktext") or [_written(value) for value in told]
    else:
        values = list(_round(scale))
        labels = [_written(value) for value in values]
    ends = sorted((scale.start, scale.end))
    return [
        Tick(at, str(label))
        for value, label in zip(values, labels, strict=False)
        if (at := scale.at(value)) is not None and ends[0] - 0.5 <= at <= ends[1] + 0.5
    ]


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number, and neither yes nor no."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _range(axis: Mapping[str, Any], numbers: Sequence[float], half: bool) -> tuple[float, float]:
    told = axis.get("range")
    if isinstance(told, (list, tuple)) and len(told) == 2 and all(map(is_number, told)):
        return float(told[0]), float(told[1])
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    room = 0.5 if half else (high - low) * _ROOM or 0.5
    low, high = low - room, high + room
    return (high, low) if axis.get("autorange") == "reversed" else (low, high)


def _round(scale: Scale) -> Iterator[float]:
    low, high = sorted((scale.low, scale.high))
    if scale.log:
        steps = (1, 2, 5) if high - low < 2.5 else (1,)
        for power in range(math.floor(low), math.ceil(high) + 1):
            yield from (step * 10.0**power for step in steps)
        return
    rough = (high - low) / _TICKS or 1.0
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(one * unit for one in (1, 2, 5, 10) if one * unit >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    yield from (place * step for place in range(first, last + 1))


def _written(value: float) -> str:
    return f"{round(value, 12) + 0.0:.6g}"
