"""Groups records into series: a sweep along one axis, repeated draws, or a single value.

For readers of results, which cannot know what a task calls its directions and axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.contract import JSON, Record
from harness.results.records import grouped, number_or_none

DRAW = "draw"
"""The axis of repetitions: values along it have no order."""
_DIRECTION = "direction"


@dataclass(frozen=True)
class Series:
    """Records of one direction, in the order of the sweep or of the draws."""

    label: str
    shape: Literal["sweep", "draws", "single"]
    records: tuple[Record, ...]

    @property
    def values(self) -> list[float]:
        """The values that are defined."""
        return [record.value for record in self.records if record.value is not None]


def sweep_axis(records: Iterable[Record]) -> str | None:
    """The numeric axis that a sweep runs along; None where nothing is swept.

    That is the axis with the most different values within one direction. `draw` never counts.
    """
    found: dict[str, dict[JSON, set[float]]] = {}
    for record in records:
        for axis in record.axes:
            value = axis_value(record, axis)
            if axis != DRAW and value is not None:
                by_direction = found.setdefault(axis, {})
                by_direction.setdefault(record.axes.get(_DIRECTION), set()).add(value)
    sizes = {axis: max(map(len, by.values())) for axis, by in found.items()}
    best = max(sizes, key=lambda axis: sizes[axis], default=None)
    return best if best is not None and sizes[best] > 1 else None


def axis_value(record: Record, axis: str | None) -> float | None:
    """Where the record lies on a numeric axis; None without that axis or without a number."""
    return None if axis is None else number_or_none(record.axes.get(axis))


def group_series(records: Sequence[Record], axis: str | None) -> list[Series]:
    """The series among records of one id, in the order in which they first appear.

    `axis` is what is swept (see `sweep_axis`). A series is labelled with its direction, and with
    the axes that tell it from other series of the same direction: `rebuilt, sae=mid`.
    """
    found: dict[str, list[Record]] = {}
    by_direction = grouped(records, lambda record: record.axes.get(_DIRECTION))
    for direction, mine in by_direction.items():
        names = dict.fromkeys(name for record in mine for name in record.axes)
        varying = [name for name in names if name not in (axis, DRAW, _DIRECTION)]
        varying = [name for name in varying if len({str(r.axes.get(name)) for r in mine}) > 1]
        for record in mine:
            more = [f"{name}={record.axes[name]}" for name in varying if name in record.axes]
            head = [] if direction is None else [str(direction)]
            found.setdefault(", ".join([*head, *more]) or "all", []).append(record)
    return [_series(label, records, axis) for label, records in found.items()]


def _series(label: str, records: list[Record], axis: str | None) -> Series:
    if any(axis_value(record, axis) is not None for record in records):
        ordered = sorted(records, key=lambda record: axis_value(record, axis) or 0.0)
        steps = {axis_value(record, axis) for record in records}
        return Series(label, "sweep" if len(steps) > 1 else "single", tuple(ordered))
    return Series(label, "draws" if len(records) > 1 else "single", tuple(records))
