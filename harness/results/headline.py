"""What a reader wants to see first: every direction's scores, one table for each experiment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.contract import JSON, Grid, Record
from harness.results.numbers import estimate, number
from harness.results.read import Results
from harness.results.series import Series, at, series, sweep_axis

_DETAILS = ("edit.", "invalid_verdicts")
"""Records that are about how a number came to be; they have places of their own."""
_NOTE = "95% intervals in brackets. Of draws, the mean and in round brackets the range."
_Column = tuple[str, str]


def headline(results: Results) -> list[Grid]:
    """A table for each experiment: a row for each direction, at the largest step of its sweep."""
    found = list(_tables(results))
    return [*found[:-1], replace(found[-1], note=_NOTE)] if found else []


def scores(records: Sequence[Record]) -> dict[_Column, list[Record]]:
    """The records of an experiment by score and evaluator.

    Without variants of numbers that are there themselves: `x.y` beside `x`.
    """
    found: dict[_Column, list[Record]] = {}
    for record in records:
        if not record.id.startswith(_DETAILS):
            name = record.id.partition("@")[0]
            found.setdefault((name, str(record.axes.get("evaluator", ""))), []).append(record)
    return {
        (name, evaluator): mine
        for (name, evaluator), mine in found.items()
        if (name.rpartition(".")[0], evaluator) not in found
    }


def experiments(results: Results) -> dict[str, list[Record]]:
    """The records of each experiment's arms, in order."""
    found: dict[str, list[Record]] = {}
    for record in results.records:
        if "experiment" in record.axes and "direction" in record.axes:
            found.setdefault(str(record.axes["experiment"]), []).append(record)
    return found


def score_name(column: _Column, among: Sequence[_Column]) -> str:
    """The score, with its evaluator where two give a score of that name."""
    name, evaluator = column
    same = [other for other, _ in among if other == name]
    return name if len(same) == 1 else f"{name} ({evaluator})"


def where(records: Sequence[Record]) -> str:
    """The view and data of an experiment, and how many prompts it has: `chat on web, n = 100`."""
    axes = records[0].axes if records else {}
    counts = sorted({record.n for record in records if record.value is not None})
    n = "0" if not counts else "-".join(str(count) for count in dict.fromkeys(
        (counts[0], counts[-1])))  # fmt: skip
    return f"{axes.get('view', '?')} on {axes.get('data', '?')}, n = {n}"


def _tables(results: Results) -> Iterator[Grid]:
    for name, records in experiments(results).items():
        by_score = scores(records)
        if not by_score:
            continue
        axis = sweep_axis(record for mine in by_score.values() for record in mine)
        cells: dict[str, dict[str, str]] = {}
        for column, mine in by_score.items():
            for one in series(mine, axis):
                label, text = _end(one, axis)
                cells.setdefault(label, {})[score_name(column, list(by_score))] = text
        names = [score_name(column, list(by_score)) for column in by_score]
        rows: list[list[JSON]] = [
            [label, *(found.get(name, "") for name in names)] for label, found in cells.items()
        ]
        everything = [record for mine in by_score.values() for record in mine]
        yield Grid(
            f"Experiment {name}: {where(everything)}",
            ("direction", *names),
            rows,
        )


def _end(one: Series, axis: str | None) -> tuple[str, str]:
    """The row and the cell of a series: its last step, its draws, or its one value."""
    if one.shape == "sweep":
        last = at(one.records[-1], axis)
        mine = [record for record in one.records if at(record, axis) == last]
        label = f"{one.label}, {axis} = {last:g}"
    else:
        mine = list(one.records)
        label = f"{one.label}, {len(mine)} draws" if len(mine) > 1 else one.label
    if len(mine) == 1:
        return label, estimate(mine[0])
    return label, spread([record.value for record in mine if record.value is not None])


def spread(values: Sequence[float]) -> str:
    """The mean and range of draws: `0.73 (0.35 to 0.97)`."""
    if not values:
        return "undefined"
    mean = sum(values) / len(values)
    return f"{number(mean)} ({number(min(values))} to {number(max(values))})"
