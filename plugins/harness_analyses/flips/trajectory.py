"""How numbers move along the checkpoints of a fine-tune."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from harness.contract import Findings, Outcome, Record
from harness_analyses.axes import without
from harness_analyses.flips.options import TrajectoryOptions as Options
from harness_statistics.records import number

_ENTRIES = ("pair", "statistic", "direction")
"""Axes that name entries of the task: the last checkpoint may be measured by another one."""


@dataclass(frozen=True)
class _Series:
    """One number at every pair that has it, in the order of `pairs`."""

    points: tuple[Record, ...]
    axes: dict[str, Any]
    """The axes that all points share."""

    @property
    def label(self) -> str:
        """The axes as text: `sae=mid,site=resid_post.3`."""
        return ",".join(f"{name}={value}" for name, value in sorted(self.axes.items()))

    @property
    def values(self) -> list[float]:
        """The numbers that are defined."""
        return [point.value for point in self.points if point.value is not None]


class Trajectory:
    """Follows records along `pairs`, which differ in one axis such as `checkpoint`.

    A series is the records with the same id, options and axes, whatever `pair`, that axis, and
    the entry of the task that measured them. For each series:
    `trajectory.change@1`, the last value minus the first, in the record's unit; and
    `trajectory.trend@1`, Spearman's ρ of the values with their order, in [−1, 1]. The axis `of`
    names the record. Table `points`: every value with its interval. A number that only one pair
    has is no series; pairs where it is undefined are left out, and `n` counts the others.
    Undefined: the change with one value only; the trend with fewer than three, or where all are
    equal.
    Source: METHODS section 4.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """Follows every series; makes its two records and the table of points."""
        series = list(self._series(findings.records))
        rows = [row for one in series for row in self._rows(one)]
        records = [record for one in series for record in _records(one)]
        return Outcome(tuple(records), {"points": rows})

    def _series(self, records: Sequence[Record]) -> Iterator[_Series]:
        found: dict[str, tuple[dict[str, Any], dict[str, Record]]] = {}
        for record in records:
            pair = record.axes.get("pair")
            if record.id not in self.options.ids or pair not in self.options.pairs:
                continue
            if "against" in record.axes or record.axes.get("injection") == "random":
                continue
            axes = without(record.axes, (*_ENTRIES, self.options.axis))
            key = json.dumps([record.id, dict(record.options), axes], sort_keys=True, default=str)
            found.setdefault(key, (axes, {}))[1].setdefault(str(pair), record)
        for axes, points in found.values():
            ordered = [points[pair] for pair in self.options.pairs if pair in points]
            if len(ordered) > 1:
                yield _Series(tuple(ordered), axes)

    def _rows(self, series: _Series) -> Iterator[dict[str, Any]]:
        for point in series.points:
            low, high = point.ci or (None, None)
            yield {
                "of": point.id,
                "series": series.label,
                "pair": point.axes["pair"],
                "at": point.axes.get(self.options.axis),
                "value": point.value,
                "low": low,
                "high": high,
                "unit": point.unit,
            }


def _records(series: _Series) -> Iterator[Record]:
    values, first = series.values, series.points[0]
    why = None if len(values) > 1 else f"{len(values)} of {len(series.points)} points has a value"
    change = None if why else values[-1] - values[0]
    flat = None
    if len(values) < 3:
        flat = f"{len(values)} points; a trend needs three"
    elif len(set(values)) == 1:
        flat = "all values are equal"
    trend = None if flat else float(stats.spearmanr(np.arange(len(values)), values).statistic)
    numbers = (
        ("trajectory.change@1", change, first.unit, why),
        ("trajectory.trend@1", trend, "coefficient", flat),
    )
    for id, value, unit, missing in numbers:
        yield number(
            id,
            value,
            missing,
            n=len(values),
            n_of="points",
            unit=unit,
            options=first.options,
            ci_why="checkpoints of one fine-tune are no independent draws",
            axes={**series.axes, "of": first.id},
        )
