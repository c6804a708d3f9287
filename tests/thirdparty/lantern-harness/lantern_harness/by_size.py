"""The numbers of this package, largest first."""

from __future__ import annotations

from harness.contract import Figure, Grid, Panel, Record, Results
from lantern_harness.options import BySizeOptions

OURS = ("effective_dimensions@1", "tails.median@1", "range_of@1")


class BySize:
    """A table of the records of lantern_harness and a bar for each; nothing where there is none."""

    def __init__(self, options: BySizeOptions) -> None:
        self.options = options

    def panel(self, results: Results) -> Panel | None:
        """A table and a figure."""
        found = [one for one in results.records if one.id in OURS and one.value is not None]
        found = sorted(found, key=lambda one: -(one.value or 0.0))[: self.options.most]
        if not found:
            return None
        rows = [{"what": _what(one), "value": one.value, "unit": one.unit} for one in found]
        bars = {"type": "bar", "x": [row["what"] for row in rows], "y": [r["value"] for r in rows]}
        figure = Figure(
            "By size", "A bar for each number.", [bars], rows=rows, records=tuple(found)
        )
        grid = Grid("", ("what", "value", "unit"), [list(row.values()) for row in rows])
        return Panel("Lantern", [figure, grid], order=60)


def _what(record: Record) -> str:
    axes = ", ".join(f"{key} {value}" for key, value in record.axes.items())
    return f"{record.id} {axes}"
