"""The table of coverage as Markdown, and the cells that miss what is promised."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from covering.cells import SIZES, Cell

BEGIN = "<!-- coverage: made by `python -m tests.covering --write` -->"
END = "<!-- coverage ends -->"
FLOOR = 0.90
"""What 20 documents must cover."""
BAND = (0.92, 0.97)
"""What 50 documents or more must cover."""


def misses(cell: Cell) -> bool:
    """Whether a cell is outside what is promised of so many documents."""
    if not cell.sets or cell.documents < 20:
        return False
    if cell.documents < 50:
        return cell.share < FLOOR
    return not BAND[0] <= cell.share <= BAND[1]


def table(cells: Sequence[Cell]) -> str:
    """A row for each world, a column for each number of documents; then what misses."""
    lines = [BEGIN, ""]
    sets = {cell.sets for cell in cells if cell.sets}
    lines += [
        f"Sets in each cell: {', '.join(f'{one:,}' for one in sorted(sets))}. "
        "In bold what misses; a dash where a share has fewer than ten documents on one side.",
        "",
    ]
    for family, of in groupby(cells, lambda cell: cell.family):
        lines += [f"| {family} | {' | '.join(f'{one} documents' for one in SIZES)} |"]
        lines += ["|---|" + "---|" * len(SIZES)]
        for name, row in groupby(of, lambda cell: cell.name):
            lines += [f"| {name} | {' | '.join(map(_shown, row))} |"]
        lines += [""]
    found = [cell for cell in cells if misses(cell)]
    lines += [f"Cells that miss: {len(found) or 'none'}{'.' if not found else ':'}"]
    lines += [""] * bool(found)
    for cell in found:
        below = cell.sets - cell.covered - cell.above
        lines += [
            f"- {cell.family}, {cell.name}, {cell.documents} documents: {cell.share:.3f}; "
            f"the interval lies below the truth in {below / cell.sets:.3f}, above it in "
            f"{cell.above / cell.sets:.3f} of the sets."
        ]
    return "\n".join([*lines, "", END])


def _shown(cell: Cell) -> str:
    if not cell.sets:
        return "–"
    return f"**{cell.share:.3f}**" if misses(cell) else f"{cell.share:.3f}"


def replaced(page: str, cells: Sequence[Cell]) -> str:
    """The page with the table of these cells in the place of the one that it has."""
    before, _, rest = page.partition(BEGIN)
    return before + table(cells) + rest.partition(END)[2]
