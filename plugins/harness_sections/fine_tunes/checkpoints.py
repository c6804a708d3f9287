"""How numbers move along the checkpoints of a fine-tune."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import JSON, Figure, Record, Results
from harness.results import grouped, named
from harness_sections.charts.curves import curves, is_number
from harness_sections.charts.points import Line, Point
from harness_sections.variants import whole

_AXIS = "checkpoint"
_FOLLOWED = ("cosine.raw", "cosine.latent", "pc_explained_variance", "flip_rate.token")
"""The numbers that are followed where the task has no analysis `trajectory`."""
_ENTRIES = ("pair", "statistic", "direction", _AXIS)
_MOST = 8
Row = Mapping[str, Any]


def checkpoints(results: Results) -> Iterator[Figure]:
    """A figure for each unit of the numbers that analyses `trajectory` followed.

    Without such an analysis, the usual numbers of pairs that have a checkpoint are followed.
    """
    at = _places(results)
    ways = {name: results.tables[f"{name}.points"] for name in _analyses(results)}
    if not ways and at:
        ways = {_AXIS: list(_followed(results.records, at))}
    drawn = 0
    for name, rows in ways.items():
        for mine in grouped(rows, lambda row: str(row.get("unit"))).values():
            if drawn < _MOST and len({row.get("pair") for row in mine}) > 1:
                drawn += 1
                yield _figure(name, mine, at, results.records)


def _analyses(results: Results) -> list[str]:
    """The analyses that followed numbers and kept their points."""
    records = named(results.records, "trajectory.change", "trajectory.trend")
    names = dict.fromkeys(str(record.axes.get("analysis")) for record in records)
    return [name for name in names if f"{name}.points" in results.tables]


def _places(results: Results) -> dict[str, JSON]:
    """The checkpoint of each pair, from any record or row that names both."""
    found: dict[str, JSON] = {
        str(record.axes["pair"]): record.axes[_AXIS]
        for record in results.records
        if _AXIS in record.axes and "pair" in record.axes
    }
    for name in _analyses(results):
        for row in results.tables[f"{name}.points"]:
            if row.get("at") is not None:
                found[str(row.get("pair"))] = row["at"]
    return found


def _figure(
    name: str, rows: Sequence[Row], at: Mapping[str, JSON], records: Sequence[Record]
) -> Figure:
    pairs = list(dict.fromkeys(str(row.get("pair")) for row in rows))
    places = [at.get(pair) for pair in pairs]
    numbered = len(set(places)) == len(pairs) and all(map(is_number, places))
    by_series = grouped(rows, lambda row: (str(row.get("of")), str(row.get("series"))))
    alike = set.intersection(*(set(series.split(",")) for _, series in by_series))
    lines = []
    for (of, series), mine in by_series.items():
        own = [part for part in series.split(",") if part not in alike]
        points = [
            _point(row, at[str(row["pair"])] if numbered else str(row["pair"]), records)
            for row in mine
        ]
        lines.append(Line(", ".join([of.partition("@")[0], *own]), tuple(points)))
    ids = list(dict.fromkeys(of.partition("@")[0] for of, _ in by_series))
    unit = str(rows[0].get("unit"))
    axis = _AXIS if numbered else "pair"
    what = " and ".join(ids) if len(ids) < 3 else unit
    title = f"{what} by {axis}" + f" ({name})" * (name != axis)
    meaning = f"A fine-tune on its way: {', '.join(pairs)}. All with {', '.join(sorted(alike))}."
    return curves(title, meaning, lines, (axis, unit))


def _point(row: Row, at: JSON, records: Sequence[Record]) -> Point:
    value, low, high = (row.get(key) for key in ("value", "low", "high"))
    cells = {"pair": str(row.get("pair")), "value": value, "from": low, "to": high}
    return Point(at, value, low, high, cells, _followed_by(row, records))


def _followed_by(row: Row, records: Sequence[Record]) -> tuple[Record, ...]:
    """The record that a row follows: rows name its id, its axes and its value."""
    id, series = str(row.get("of")), set(str(row.get("series")).split(","))
    return tuple(
        record
        for record in records
        if record.id == id.partition(" ")[0]
        and str(record.axes.get("pair")) == str(row.get("pair"))
        and record.value == row.get("value")
        and series >= {f"{k}={v}" for k, v in record.axes.items() if k not in (*_ENTRIES, "data")}
    )[:1]


def _followed(records: Sequence[Record], at: Mapping[str, JSON]) -> Iterator[Row]:
    """Rows as a `trajectory` keeps them, of every series whose pairs have a checkpoint each."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in whole(named(records, *_FOLLOWED)):
        axes = record.axes
        first = axes.get("pc", 1) == 1 and axes.get("injection", "none") == "none"
        if first and str(axes.get("pair")) in at:
            same = {name: value for name, value in axes.items() if name not in _ENTRIES}
            text = ",".join(f"{name}={value}" for name, value in sorted(same.items()))
            options = json.dumps(record.options, sort_keys=True, default=str)
            found.setdefault((f"{record.id} {options}", text), []).append(record)
    for (_, series), mine in found.items():
        places = [at[str(record.axes["pair"])] for record in mine]
        if len(set(map(str, places))) < len(places) or not all(map(is_number, places)):
            continue  # two fine-tunes: nothing says which checkpoint is whose
        ordered = sorted(zip(places, mine, strict=True), key=lambda one: float(str(one[0])))
        for _, record in ordered:
            low, high = record.ci or (None, None)
            yield {
                "of": record.id,
                "series": series,
                "pair": record.axes["pair"],
                "value": record.value,
                "low": low,
                "high": high,
                "unit": record.unit,
            }
