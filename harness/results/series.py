"""Groups records into series: a sweep along one axis, repeated draws, or a single value.

For sections of the report, which must not know what a task calls its directions and axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.contract import JSON, Record

DRAW = "draw"
"""The axis of repetitions: values along it have no order."""
_DIRECTION = "direction"


@dataclass(frozen=True)
class Series:
    """Records of one thing, in the order of the sweep or of the draws."""

    label: str
    shape: Literal["sweep", "draws", "single"]
    records: tuple[Record, ...]

    @property
    def values(self) -> list[float]:
        """The values that are defined."""
        return [record.value for record in self.records if record.value is not None]


def sweep_axis(records: Iterable[Record]) -> str | None:
    """The numeric axis with the most values, repetitions aside; None where nothing is swept.

    An axis counts only where it varies within one direction.
    """
    found: dict[str, dict[JSON, set[float]]] = {}
    for record in records:
        for axis, value in record.axes.items():
            if axis != DRAW and _numeric(value):
                assert isinstance(value, (int, float))
                of = found.setdefault(axis, {}).setdefault(record.axes.get(_DIRECTION), set())
                of.add(value)
    sizes = {axis: max(map(len, by.values())) for axis, by in found.items()}
    best = max(sizes, key=lambda axis: sizes[axis], default=None)
    return best if best is not None and sizes[best] > 1 else None


def at(record: Record, axis: str | None) -> float | None:
    """Where on a numeric axis a record lies."""
    value = record.axes.get(axis) if axis is not None else None
    return float(value) if _numeric(value) and isinstance(value, (int, float)) else None


def series(records: Sequence[Record], axis: str | None) -> list[Series]:
    """The series of records that share one id, in the order in which they first appear.

    A label is the direction, with the axes that tell series of the same direction apart.
    """
    by_direction: dict[JSON, list[Record]] = {}
    for record in records:
        by_direction.setdefault(record.axes.get(_DIRECTION), []).append(record)
    found: dict[str, list[Record]] = {}
    for direction, mine in by_direction.items():
        varying = [name for name in _axes(mine) if name not in (axis, DRAW, _DIRECTION)]
        varying = [name for name in varying if len({str(r.axes.get(name)) for r in mine}) > 1]
        for record in mine:
            more = [f"{name}={record.axes[name]}" for name in varying if name in record.axes]
            head = [] if direction is None else [str(direction)]
            found.setdefault(", ".join([*head, *more]) or "all", []).append(record)
    return [_series(label, records, axis) for label, records in found.items()]


def _series(label: str, records: list[Record], axis: str | None) -> Series:
    if any(at(record, axis) is not None for record in records):
        ordered = sorted(records, key=lambda record: at(record, axis) or 0.0)
        steps = {at(record, axis) for record in records}
        return Series(label, "sweep" if len(steps) > 1 else "single", tuple(ordered))
    return Series(label, "draws" if len(records) > 1 else "single", tuple(records))


def _axes(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(name for record in records for name in record.axes))


def _numeric(value: JSON) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
