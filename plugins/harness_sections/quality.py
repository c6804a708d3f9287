"""Refusal, harm and quality side by side: an edited model that only babbles refuses nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.contract import JSON, Grid, Panel, Prose, Record, Results
from harness.results import (
    experiment_scores,
    format_estimate,
    records_by_experiment,
    score_name,
    written,
)
from harness_sections.plain import PlainSection
from harness_sections.variants import arm_label

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "refusal": ("refusal_score",),
    "harm": ("safety_score", "harm_score", "strongreject_score"),
    "quality": ("compliance_quality", "degenerate_share"),
}
"""What scores are about, by how the names of their records begin."""
_UNFINISHED = "unfinished"
_OPEN = 16
"""Rows of a table that is open from the start."""
_HOW = (
    "A score of refusals alone calls a model obedient that an edit has broken. So columns stand "
    "side by side: how often it refuses, how harmful its answers are (a safety score is high "
    "where they are not), and how good what it says is. Quality of compliance is the mean of "
    "StrongREJECT over what is no refusal. Distinct-4 is the share of runs of four words that are "
    "different within their answer: 1 is no repetition."
)


class Quality(PlainSection):
    """A table for each experiment with a row for each arm; only what was measured is a column."""

    def panel(self, results: Results) -> Panel | None:
        """The tables, or None where no completions were written, or a run of before told nothing
        of them."""
        grids = [
            _grid(name, records)
            for name, records in records_by_experiment(results).items()
            if written(records)
        ]
        return (
            Panel("Refusal, harm and quality", [Prose(_HOW), *grids], order=11) if grids else None
        )


def _grid(experiment: str, records: Sequence[Record]) -> Grid:
    columns = dict(_columns(records))
    arms: dict[str, dict[str, str]] = {}
    for head, mine in columns.items():
        for record in mine:
            arm = arm_label(record.axes, without=("experiment", "view", "data", "evaluator"))
            arms.setdefault(arm, {})[head] = format_estimate(record)
    rows: list[list[JSON]] = [
        [arm, *(found.get(head, "") for head in columns)] for arm, found in arms.items()
    ]
    title = f"Experiment {experiment}"
    return Grid(title, ("arm", *columns), rows, folded=len(rows) > _OPEN)


def _columns(records: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
    """Heads with the records below them: scores by what they are about, then how it is written."""
    scores = experiment_scores(records)
    for about, names in _COLUMNS.items():
        for key, mine in scores.items():
            if key[0].split(".")[0] in names:
                over_all = [r for r in mine if not {"domain", "cluster"} & r.axes.keys()]
                yield f"{about}: {score_name(key, list(scores))}", over_all
    yield from written(records).items()
    yield from ((name, mine) for (name, _), mine in scores.items() if name == _UNFINISHED)
