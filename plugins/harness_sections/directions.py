"""How good the directions are, whatever they do: one row for each step of their sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.contract import JSON, Grid, Panel, Record, Results
from harness.results import (
    Series,
    axis_value,
    format_number,
    group_series,
    grouped,
    null_value,
    record_name,
    sweep_axis,
    undefined_reasons,
)
from harness_sections.charts.points import draws_text
from harness_sections.plain import PlainSection

_Named = tuple[str, Series]
"""The name of a number, and one of its series."""


class Directions(PlainSection):
    """Numbers of directions that belong to no experiment, by the axis that is swept."""

    def panel(self, results: Results) -> Panel | None:
        """The tables, or None where nothing was measured of a direction."""
        mine = [
            record
            for record in results.records
            if "direction" in record.axes and "experiment" not in record.axes
        ]
        by_name = grouped(mine, record_name)
        # By name, as the axis that is met first is swept where two have as many values.
        axis = sweep_axis(record for records in by_name.values() for record in records)
        swept: list[_Named] = []
        others: list[_Named] = []
        for name, records in by_name.items():
            for one in group_series(records, axis):
                on_axis = any(axis_value(record, axis) is not None for record in one.records)
                (swept if on_axis else others).append((name, one))
        blocks = [*_steps(swept, axis), *_others(others)]
        return Panel("Directions", blocks, order=20) if blocks else None


def _steps(found: Sequence[_Named], axis: str | None) -> Iterator[Grid]:
    """A row for each step, a column for each direction and number."""
    if axis is None or not found:
        return
    labels = [one.label for _, one in found]
    # All numbers of a direction together, and those that are swept before those at one step.
    found = sorted(found, key=lambda pair: (pair[1].shape != "sweep", labels.index(pair[1].label)))
    records = [record for _, one in found for record in one.records]
    steps = sorted({x for record in records if (x := axis_value(record, axis)) is not None})
    rows: list[list[JSON]] = []
    for step in steps:
        at_step = [[r for r in one.records if axis_value(r, axis) == step] for _, one in found]
        rows.append([f"{step:g}", *map(_cell, at_step)])
    columns = [axis, *(f"{one.label}: {name.removeprefix('direction.')}" for name, one in found)]
    notes = [f"Undefined: {reason}." for reason in sorted(undefined_reasons(records))]
    if any(record.null for record in records):
        notes.append("By chance: what two random choices would share.")
    yield Grid(f"Quality by {axis}", columns, rows, " ".join(notes))


def _others(found: Sequence[_Named]) -> Iterator[Grid]:
    if found:
        rows: list[list[JSON]] = [
            [one.label, name, _cell(one.records), one.records[0].n_of, one.records[0].n]
            for name, one in found
        ]
        yield Grid("Other numbers", ("direction", "number", "value", "counted", "n"), rows)


def _cell(records: Sequence[Record]) -> str:
    null = null_value(records[0]) if len(records) == 1 else None
    chance = "" if null is None else f" (by chance {format_number(null)})"
    return draws_text(records) + chance
