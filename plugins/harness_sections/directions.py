"""How good the directions are, whatever they do: one row for each step of their sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.contract import JSON, Grid, Panel, Record, Results
from harness.results.numbers import format_draws
from harness.results.numbers import format_estimate, format_number
from harness.results.series import Series, axis_value, group_series, sweep_axis
from harness_sections.plain import Plain


class Directions:
    """Numbers of directions that belong to no experiment, by the axis that is swept."""

    def __init__(self, options: Plain) -> None:
        self.options = options

    def panel(self, results: Results) -> Panel | None:
        """The tables, or None where nothing was measured of a direction."""
        by_id: dict[str, list[Record]] = {}
        for record in results.records:
            if "direction" in record.axes and "experiment" not in record.axes:
                by_id.setdefault(record.id.partition("@")[0], []).append(record)
        axis = sweep_axis(record for mine in by_id.values() for record in mine)
        swept: list[tuple[str, Series]] = []
        single: list[tuple[str, Series]] = []
        for name, mine in by_id.items():
            for one in group_series(mine, axis):
                on_axis = any(axis_value(record, axis) is not None for record in one.records)
                (swept if on_axis else single).append((name, one))
        blocks = [*_steps(swept, axis), *_others(single)]
        return Panel("Directions", blocks, order=20) if blocks else None


def _steps(found: Sequence[tuple[str, Series]], axis: str | None) -> Iterator[Grid]:
    """A row for each step, a column for each direction and number."""
    if axis is None or not found:
        return
    labels = [one.label for _, one in found]
    # All numbers of a direction together, and those that are swept before those at one step.
    found = sorted(found, key=lambda pair: (pair[1].shape != "sweep", labels.index(pair[1].label)))
    steps = sorted(
        {x for _, one in found for r in one.records if (x := axis_value(r, axis)) is not None}
    )
    rows: list[list[JSON]] = []
    for step in steps:
        row: list[JSON] = [f"{step:g}"]
        for _, one in found:
            row.append(
                _cell([record for record in one.records if axis_value(record, axis) == step])
            )
        rows.append(row)
    columns = [axis, *(f"{one.label}: {_short(name)}" for name, one in found)]
    reasons = sorted({r.undefined for _, one in found for r in one.records if r.undefined})
    notes = [f"Undefined: {reason}." for reason in reasons]
    if any(record.null for _, one in found for record in one.records):
        notes.append("By chance: what two random choices would share.")
    yield Grid(f"Quality by {axis}", columns, rows, " ".join(notes))


def _others(found: Sequence[tuple[str, Series]]) -> Iterator[Grid]:
    if found:
        rows: list[list[JSON]] = [
            [one.label, name, _cell(one.records), one.records[0].n_of, one.records[0].n]
            for name, one in found
        ]
        yield Grid("Other numbers", ("direction", "number", "value", "counted", "n"), rows)


def _cell(records: Sequence[Record]) -> str:
    if not records:
        return ""
    if len(records) > 1:
        return format_draws(records)
    record = records[0]
    null = (record.null or {}).get("value")
    chance = f" (by chance {format_number(null)})" if isinstance(null, (int, float)) else ""
    return format_estimate(record) + chance


def _short(name: str) -> str:
    """`nmse` of `direction.nmse`; other names as they are."""
    return name.removeprefix("direction.")
