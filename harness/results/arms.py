"""The arms of an experiment by what they are for: un-edited, one direction, rankings, controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.contract import Record, Results
from harness.results.experiments import (
    UNEDITED,
    experiment_scores,
    records_by_experiment,
    score_name,
)
from harness.results.records import number_or_none
from harness.results.series import DRAW, Series, axis_value, group_series, sweep_axis

DEGENERATE = "degenerate_share"
"""The share of completions that are no text any more: it tells how far to trust other scores."""
_CATEGORIES = {"domain", "cluster"}
"""Axes of numbers about a part of the data."""


@dataclass(frozen=True)
class Arms:
    """One score of one experiment, arm by arm. Which arm is what follows from its records."""

    experiment: str
    score: str
    position: int
    """0 for the first score of the experiment."""
    edit: str
    """What the intervention is called: `ablation`."""
    axis: str | None
    """What is swept, such as `k`."""
    unedited: Record | None
    single: tuple[Record, ...]
    """Directions that are neither swept nor drawn."""
    rankings: tuple[Series, ...]
    """Directions that are swept."""
    controls: tuple[Series, ...]
    """Directions that are drawn several times."""
    degenerate: Mapping[str, Record]
    """The share of degenerate completions, by `arm_key`."""

    @property
    def is_constant(self) -> bool:
        """Whether no arm has another value than the un-edited one."""
        series = (*self.rankings, *self.controls)
        every = [*self.single, *(record for one in series for record in one.records)]
        return self.unedited is not None and {r.value for r in every} <= {self.unedited.value}

    def step(self, series: Series, step: float) -> Record | None:
        """The record of a ranking at one step."""
        return next((r for r in series.records if axis_value(r, self.axis) == step), None)


def all_arms(results: Results) -> Iterator[Arms]:
    """The arms of each score of each experiment, over all data, in the order of the results."""
    for name, records in records_by_experiment(results).items():
        scores = experiment_scores(records)
        degenerate = {
            arm_key(r): r for (id, _), mine in scores.items() if id == DEGENERATE for r in mine
        }
        kept = {key: mine for key, mine in scores.items() if key[0] != DEGENERATE}
        axis = sweep_axis(record for mine in kept.values() for record in mine)
        for position, (key, mine) in enumerate(kept.items()):
            over_all = [record for record in mine if not _CATEGORIES & record.axes.keys()]
            edited = [r for r in over_all if r.axes.get("direction") != UNEDITED]
            arms = group_series(edited, axis)
            drawn = [one for one in arms if any(DRAW in r.axes for r in one.records)]
            rest = [one for one in arms if one not in drawn]
            # What is swept may have an arm without a step: all of its components together.
            whole = [r for one in rest for r in one.records if axis_value(r, axis) is None]
            swept = [steps for one in rest if (steps := _steps(one, axis)).records]
            single = [one.records[0] for one in swept if len(one.records) == 1]
            yield Arms(
                name,
                score_name(key, list(scores)),
                position,
                edit_name(results, name),
                axis,
                next((r for r in over_all if r.axes.get("direction") == UNEDITED), None),
                (*whole, *single),
                tuple(one for one in swept if len(one.records) > 1),
                tuple(drawn),
                degenerate,
            )


def _steps(series: Series, axis: str | None) -> Series:
    """The records of a series that have a step."""
    placed = tuple(record for record in series.records if axis_value(record, axis) is not None)
    return replace(series, records=placed)


def arm_key(record: Record) -> str:
    """What is the same in all numbers of one arm."""
    return repr(sorted((k, str(v)) for k, v in record.axes.items() if k != "evaluator"))


def edit_name(results: Results, experiment: str) -> str:
    """What the task calls the intervention: `ablation`, `pc injection`; `edit` where unknown."""
    table = _table(_table(results.task, "experiments"), experiment)
    method = _table(table, "intervention").get("method") or "edit"
    return str(method).replace("_", " ")


def common_step(
    axis: str | None,
    rankings: Sequence[Series],
    controls: Sequence[Series],
    task: Mapping[str, object],
) -> float | None:
    """The step at which rankings are held beside each other; None where they share none.

    The one at which a control was drawn, where the task says so and all rankings have it; else the
    largest at which all have a number; else the largest that all have.
    """
    steps = [
        {x: r for r in one.records if (x := axis_value(r, axis)) is not None} for one in rankings
    ]
    if axis is None or not steps:
        return None
    shared = set.intersection(*(set(mine) for mine in steps))
    defined = {x for x in shared if all(mine[x].value is not None for mine in steps)}
    for control in controls:
        name = str(control.records[0].axes.get("direction"))
        drawn_at = number_or_none(_table(_table(task, "directions"), name).get(axis))
        if drawn_at in shared:
            return drawn_at
    return max(defined or shared, default=None)


def direction(record: Record) -> str:
    """The direction of an arm, with the axes that tell arms of one direction apart."""
    return f"`{record.axes.get('direction')}`"


def draws_of(control: Series) -> str:
    """`5 draws of `random``."""
    return f"{len(control.records)} draws of `{control.label}`"


def _table(table: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = table.get(key)
    return found if isinstance(found, Mapping) else {}


def prompts(records: Sequence[Record]) -> str:
    """`100 prompts`; the fewest where arms differ."""
    counted = [record for record in records if record.value is not None]
    if not counted:
        return "nothing"
    fewest = min(counted, key=lambda record: record.n)
    return f"{fewest.n:,} {fewest.n_of}"
