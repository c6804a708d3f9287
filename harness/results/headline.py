"""What a reader wants to see first: every direction's scores, one table for each experiment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.contract import JSON, Grid, Record, Results
from harness.results.numbers import format_draws, format_estimate
from harness.results.records import count_range, grouped, record_name
from harness.results.series import Series, axis_value, group_series, sweep_axis

DETAILS = ("edit.", "invalid_verdicts")
"""How the ids of records begin that say how a number came to be; they have places of their own."""
_NOTE = "95% intervals in brackets. Of draws, the mean and in round brackets the range."
ScoreKey = tuple[str, str]
"""The name of a score, and the evaluator that gave it."""


def headline_tables(results: Results) -> list[Grid]:
    """A table for each experiment: a row for each direction, at the largest step of its sweep."""
    found = list(_tables(results))
    return [*found[:-1], replace(found[-1], note=_NOTE)] if found else []


def records_by_experiment(results: Results) -> dict[str, list[Record]]:
    """The records of each experiment's arms, in order."""
    arms = [
        record for record in results.records if {"experiment", "direction"} <= record.axes.keys()
    ]
    return grouped(arms, lambda record: str(record.axes["experiment"]))


def experiment_scores(records: Sequence[Record]) -> dict[ScoreKey, list[Record]]:
    """The records of one experiment by score and evaluator, details left out.

    A variant `x.y` is left out where the same evaluator gave the score `x` itself.
    """
    scores = [record for record in records if not record.id.startswith(DETAILS)]
    found = grouped(scores, lambda r: (record_name(r), str(r.axes.get("evaluator", ""))))
    return {
        (name, evaluator): mine
        for (name, evaluator), mine in found.items()
        if (name.rpartition(".")[0], evaluator) not in found
    }


def score_name(key: ScoreKey, among: Sequence[ScoreKey]) -> str:
    """The score's name, with its evaluator where two of them give a score of that name."""
    name, evaluator = key
    same = [other for other, _ in among if other == name]
    return name if len(same) == 1 else f"{name} ({evaluator})"


def measured_on(records: Sequence[Record]) -> str:
    """The view, data and number of prompts of an experiment: `chat on web, n = 100`."""
    axes = records[0].axes if records else {}
    return f"{axes.get('view', '?')} on {axes.get('data', '?')}, n = {count_range(records)}"


def _tables(results: Results) -> Iterator[Grid]:
    for experiment, records in records_by_experiment(results).items():
        by_score = experiment_scores(records)
        if not by_score:
            continue
        names = {key: score_name(key, list(by_score)) for key in by_score}
        everything = [record for mine in by_score.values() for record in mine]
        axis = sweep_axis(everything)
        cells: dict[str, dict[str, str]] = {}
        for key, mine in by_score.items():
            for one in group_series(mine, axis):
                label, text = _last_step(one, axis)
                cells.setdefault(label, {})[names[key]] = text
        rows: list[list[JSON]] = [
            [label, *(found.get(name, "") for name in names.values())]
            for label, found in cells.items()
        ]
        title = f"Experiment {experiment}: {measured_on(everything)}"
        yield Grid(title, ("direction", *names.values()), rows)


def _last_step(series: Series, axis: str | None) -> tuple[str, str]:
    """The row and the cell of a series: its last step, its draws, or its one value."""
    records, label = list(series.records), series.label
    if series.shape == "sweep":
        last = axis_value(records[-1], axis)
        records = [record for record in records if axis_value(record, axis) == last]
        label += f", {axis} = {last:g}"
    elif len(records) > 1:
        label += f", {len(records)} draws"
    return label, format_estimate(records[0]) if len(records) == 1 else format_draws(records)
