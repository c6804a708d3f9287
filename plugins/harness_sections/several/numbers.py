"""All numbers of several runs in tables, a column for each variant, then their median."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import JSON, Figure, Grid, Panel, Prose, Runs, SharedNumber
from harness.results import format_number, grouped
from harness_sections.several.differences import figures
from harness_sections.several.spreads import cell

_MOST = 3000
"""Numbers up to which the tables hold all."""
_COLUMNS = 24
"""Variants that have a column."""
_NOTE = (
    "A value with its 95% interval in brackets is of one run; of several seeds it is their mean "
    "± their standard deviation (n - 1). The median is over the runs' values, with how many "
    "there are."
)


def panel(runs: Runs) -> Panel | None:
    """Figures of what differs most, then every number; None where there are no numbers."""
    if not runs.numbers:
        return None
    drawn = figures(runs)
    blocks: list[Figure | Grid | Prose] = [*drawn]
    if len(runs.variants) > 1 and not drawn:
        blocks.append(Prose("No number with a known uncertainty differs by more than it."))
    if len(runs.numbers) > _MOST:
        text = f"There are {len(runs.numbers):,} numbers: load_runs(…).frame has all of them."
        return Panel("Every number", [*blocks, Prose(text)], order=90)
    blocks.append(Prose(_NOTE))
    for id, mine in sorted(grouped(runs.numbers, lambda number: number.id).items()):
        blocks.append(_grid(runs, id, mine))
    title = "What differs most, and every number" if drawn else "Every number"
    return Panel(title, blocks, order=90)


def _grid(runs: Runs, id: str, numbers: Sequence[SharedNumber]) -> Grid:
    axes = list(dict.fromkeys(axis for number in numbers for axis in number.axes))
    options = _differing(numbers)
    labels = [variant.label for variant in runs.variants][:_COLUMNS]
    rows: list[list[JSON]] = []
    for number in numbers:
        median = f"{format_number(number.median)} (of {number.n})" if number.n else "undefined"
        rows.append([
            *(number.axes.get(axis, "") for axis in axes),
            *(str(number.options.get(key, "")) for key in options),
            *(cell(one) for one in number.spreads[:_COLUMNS]),
            *([median] if len(runs.variants) > 1 else []),
            number.unit,
        ])  # fmt: skip
    over = ["median"] if len(runs.variants) > 1 else []
    note = ""
    if (more := len(runs.variants) - _COLUMNS) > 0:
        note = f"{more} further runs have no column here; the median counts them."
    return Grid(id, [*axes, *options, *labels, *over, "unit"], rows, note, folded=True)


def _differing(numbers: Sequence[SharedNumber]) -> list[str]:
    """The options in which numbers of one id differ."""
    keys = dict.fromkeys(key for number in numbers for key in number.options)
    return [
        key for key in keys
        if len({repr(number.options.get(key)) for number in numbers}) > 1
    ]  # fmt: skip
