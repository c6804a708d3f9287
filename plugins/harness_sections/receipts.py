"""What the edits did to the activations, and whether they kept their promises."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import JSON, Grid, Panel, Prose, Record, Results
from harness.results import format_estimate, record_name, records_by_experiment
from harness_sections.plain import PlainSection
from harness_sections.variants import arm_label

_EDIT = "edit."
_CHECK = "check"


class Receipts(PlainSection):
    """A row for each arm: how much changed, and the largest value of each check."""

    def panel(self, results: Results) -> Panel | None:
        """A table for each experiment, or None where nothing was edited."""
        grids = [
            _grid(name, mine)
            for name, records in records_by_experiment(results).items()
            if (mine := [record for record in records if record.id.startswith(_EDIT)])
        ]
        if not grids:
            return None
        text = (
            "What each intervention really did: the share of edited tokens whose activation came "
            "out different, the mean size of the change relative to the activation, and the "
            "largest value that each of its promises measured."
        )
        return Panel("Receipts of the edits", [Prose(text), *grids], order=50)


def _grid(experiment: str, records: Sequence[Record]) -> Grid:
    arms: dict[str, dict[str, str]] = {}
    columns: dict[str, None] = {}
    tokens: dict[str, int] = {}
    for record in records:
        arm = arm_label(record.axes, without=("experiment", "view", "data", _CHECK))
        what = record.axes.get(_CHECK)
        column = record_name(record).removeprefix(_EDIT) if what is None else str(what)
        columns[column] = None
        arms.setdefault(arm, {})[column] = format_estimate(record)
        tokens[arm] = record.n
    rows: list[list[JSON]] = [
        [arm, tokens[arm], *(found.get(column, "") for column in columns)]
        for arm, found in arms.items()
    ]
    title = f"Experiment {experiment}"
    return Grid(title, ("arm", "edited tokens", *columns), rows, folded=True)
