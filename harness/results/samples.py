"""The completions of an earlier run: which verdicts lie behind a record.

`samples/<experiment>.jsonl` holds what each evaluator said of each completion, under its names of
scores; a record holds their mean under the score's id. Which name belongs to which id is found by
the numbers: a name is a record's when its verdicts have the record's count and mean. So no plugin
is needed to read an old run, and samples that are not those of the results are noticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.contract import Axes, Record
from harness.contract.results import Results
from harness.errors import DataError
from harness.results.completions import arm_axes
from harness.results.json_numbers import not_read, strict_lines, strict_loads
from harness.results.read import load_results
from harness.results.records import grouped

_INVALID = "(could not be judged)"
"""Stands for the score that is not in the verdicts: whether one of them is missing."""
_ELSEWHERE = ("experiment", "evaluator", "view", "data")
"""Axes of a record that are not in the rows of its samples."""
_BULKY = ("prompt", "thought", "completion", "tokens", "stopped")
SampleRow = Mapping[str, Any]


@dataclass(frozen=True)
class Scores:
    """One score of one arm, by prompt; prompts that could not be judged are left out."""

    by_prompt: Mapping[str, tuple[float, ...]]
    yes_no: bool


@dataclass(frozen=True)
class Samples:
    """The rows of a run's samples, by experiment, without prompts and completions."""

    rows: Mapping[str, Sequence[SampleRow]] = field(default_factory=dict)
    _found: dict[tuple[Any, ...], dict[str, Scores]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _arms: dict[str, list[list[int]]] = field(default_factory=dict, repr=False, compare=False)
    """Of each experiment the places of its rows, those of one arm together."""

    def scores(self, record: Record) -> dict[str, Scores]:
        """By name, every score whose verdicts give the value of this record."""
        key = tuple(sorted(record.axes.items()))
        if key not in self._found:
            self._found[key] = dict(self._judged(record))
        return {name: one for name, one in self._found[key].items() if _gives(one, record)}

    def _judged(self, record: Record) -> Iterator[tuple[str, Scores]]:
        """Every score of the record's arm by its evaluator."""
        found: dict[str, list[tuple[str, Any]]] = {}
        for row in self._arm(record):
            verdicts = row["verdicts"].get(record.axes.get("evaluator"))
            if isinstance(verdicts, Mapping):
                given = {name: value for name, value in verdicts.items() if name != "note"}
                for name, value in {**given, _INVALID: None in given.values()}.items():
                    found.setdefault(name, []).append((row.get("copy_of", row["example"]), value))
        for name, values in found.items():
            known = [(prompt, value) for prompt, value in values if value is not None]
            if all(_is_number(value) for _, value in known):
                yield name, _scores(known)

    def texts(self, record: Record) -> set[str]:
        """The texts of an arm's prompts."""
        return {str(row.get("text")) for row in self._arm(record)}

    def _arm(self, record: Record) -> Sequence[SampleRow]:
        """The rows of a record's arm; of all arms that share its axes where it is of several.

        An arm may have all axes of another one and more: three components one by one, and together.
        """
        axes = {key: value for key, value in record.axes.items() if key not in _ELSEWHERE}
        rows = [
            row
            for row in self._like(str(record.axes.get("experiment")), axes)
            if all(key in row and row[key] == value for key, value in axes.items())
        ]
        own = [row for row in rows if arm_axes(row).keys() - set(_ELSEWHERE) <= axes.keys()]
        return own or rows

    def _like(self, experiment: str, axes: Axes) -> Sequence[SampleRow]:
        """The rows of an experiment, in order, without those of arms that have another value on
        one of the axes: an arm has a hundred rows, and is looked at once for all of them."""
        rows = self.rows.get(experiment, ())
        if experiment not in self._arms:
            by_arm = grouped(range(len(rows)), lambda place: repr(arm_axes(rows[place])))
            self._arms[experiment] = list(by_arm.values())
        found: list[int] = []
        for places in self._arms[experiment]:
            its = arm_axes(rows[places[0]])
            if all(its[key] == axes[key] for key in its.keys() & axes.keys()):
                found += places
        return [rows[place] for place in sorted(found)]


def _is_number(value: object) -> bool:
    return isinstance(value, (bool, int, float)) and abs(value) < 1e300


def _scores(known: Sequence[tuple[str, Any]]) -> Scores:
    by_prompt = grouped(known, lambda one: one[0])
    values = {prompt: tuple(float(v) for _, v in mine) for prompt, mine in by_prompt.items()}
    return Scores(values, all(isinstance(value, bool) for _, value in known))


def _gives(scores: Scores, record: Record) -> bool:
    values = [value for prompt in scores.by_prompt.values() for value in prompt]
    if len(values) != record.n:
        return False
    if not values:
        return record.value is None
    mean = math.fsum(values) / len(values)
    return record.value is not None and math.isclose(mean, record.value, rel_tol=1e-9, abs_tol=1e-9)


@dataclass(frozen=True)
class Run:
    """An earlier run: its folder as it was named, its results and its samples."""

    name: str
    results: Results
    samples: Samples = Samples()


def load_run(folder: str | Path) -> Run:
    """The run in a folder. Raises DataError where there is none."""
    return Run(str(folder), load_results(folder), load_samples(folder))


def load_samples(folder: str | Path) -> Samples:
    """The samples of a run; none where it has none. Raises DataError for what is no samples."""
    rows: dict[str, list[SampleRow]] = {}
    for file in sorted((Path(folder) / "samples").glob("*.jsonl")):
        try:
            with file.open(encoding="utf-8") as lines:
                rows[file.stem] = list(strict_lines(lines, _row))
        except OSError as error:
            raise DataError(f"{file}: cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise DataError(
                f"{file}: is not the samples of a run: {not_read(error)}. Put back what the run "
                "has written, or run the task again into another folder."
            ) from error
    return Samples(rows)


def _row(line: str) -> SampleRow:
    row = strict_loads(line)
    if not isinstance(row, dict) or not isinstance(row.get("example"), str):
        raise ValueError("a row must be an object with an example's id")
    if not isinstance(row.get("verdicts"), dict):
        raise ValueError("a row must hold verdicts")
    return {key: value for key, value in row.items() if key not in _BULKY}
