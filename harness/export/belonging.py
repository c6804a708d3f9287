"""Whether the completions in a run's folder are those that its results were made of.

A folder can lose files, or get those of another run. Whoever then reads scores from `results.json`
and texts from `samples/` would put numbers beside answers that they are not of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.contract import Record
from harness.contract.results import Results
from harness.errors import DataError
from harness.results.completions import arm_axes
from harness.results.experiments import records_by_experiment
from harness.results.records import grouped
from harness.results.samples import Samples
from harness.results.tables import COMPLETIONS
from harness.text import shown_path, visible

Rows = Sequence[Mapping[str, Any]]
_NOT_OF_ROWS = {"experiment", "evaluator", "view", "data"}
"""Axes of a score that its completions do not have."""


class OwnTables(Mapping[str, Rows]):
    """The tables of a run. DataError where its completions are asked for and are not its own."""

    def __init__(self, results: Results, folder: Path) -> None:
        self._results = results
        self._folder = folder
        self._checked = False

    def __iter__(self) -> Iterator[str]:
        return iter(self._results.tables)

    def __len__(self) -> int:
        return len(self._results.tables)

    def __getitem__(self, name: str) -> Rows:
        rows = self._results.tables[name]
        if name == COMPLETIONS and not self._checked:
            if why := not_of(self._results, rows):
                raise DataError(
                    f"{shown_path(self._folder / 'samples')}: is not what results.json was made "
                    f"of: {why}. Allowed: the samples of this run, all of them. Put them back, or "
                    "run the task again into another folder."
                )
            self._checked = True
        return rows


def not_of(results: Results, rows: Rows) -> str:
    """What of these completions is not of these results, in a few words; empty where all is.

    Every completion is of an arm that the results know, and the verdicts of an arm have the count
    and the mean of each score of it. Of results without a number, nothing can be said.
    """
    if not results.records:
        return ""
    known = records_by_experiment(results)
    by_experiment = grouped(rows, lambda row: str(row.get("experiment")))
    for experiment, mine in by_experiment.items():
        if experiment not in known:
            return f"it has completions of {_named(experiment)}, which the results do not know"
        if why := _not_of_experiment(known[experiment], mine):
            return f"{_named(experiment)}: {why}"
    return ""


def _not_of_experiment(records: Sequence[Record], rows: Rows) -> str:
    keys = {key for row in rows for key in arm_axes(row)}
    arms = {_arm(row, keys) for row in rows}
    of_arms = [one for one in records if one.axes.keys() - _NOT_OF_ROWS <= keys]
    if strange := [arm for arm in arms if arm not in {_arm(one.axes, keys) for one in of_arms}]:
        return f"the results know nothing of the arm {_named(_words(min(strange, key=repr)))}"
    judged = {name for row in rows for name in _verdicts(row)}
    samples = Samples({str(rows[0].get("experiment")): rows})
    for one in of_arms:
        if one.axes.get("evaluator") not in judged or (one.n == 0 and one.value is None):
            continue
        if not samples.scores(one):
            arm = _words(_arm(one.axes, keys))
            return f"its verdicts of {_named(arm)} do not give {one.id} (n = {one.n:,})"
    return ""


def _verdicts(row: Mapping[str, Any]) -> Mapping[str, Any]:
    found = row.get("verdicts")
    return found if isinstance(found, Mapping) else {}


def _arm(axes: Mapping[str, Any], keys: set[str]) -> tuple[tuple[str, Any], ...]:
    """The arm that axes are of, told by those that completions have."""
    return tuple(sorted((key, axes[key]) for key in keys & axes.keys()))


def _words(arm: tuple[tuple[str, Any], ...]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in arm)


def _named(words: str) -> str:
    return repr(visible(words, 100))
