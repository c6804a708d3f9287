"""Runs side by side: the numbers that all of them hold, each against the first run's.

Numbers are compared only where they are the same number: the same id with its version, the same
options, the same axes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.comparison.changes import Change, changes
from harness.comparison.differences import differences
from harness.comparison.identity import identity, mixed
from harness.contract import Record
from harness.errors import UsageError, listed
from harness.results.paired import Difference
from harness.results.samples import Run, load_run

if TYPE_CHECKING:
    import pandas as pd

_MOST_MIXED = 5


@dataclass(frozen=True)
class RunValue:
    """A number as one run has it; `value` is None exactly when `undefined` says why."""

    value: float | None
    n: int
    ci: tuple[float, float] | None
    undefined: str | None


@dataclass(frozen=True)
class ComparedNumber:
    """One number that all runs hold, and how far the others are from the baseline."""

    id: str
    options: Mapping[str, Any]
    axes: Mapping[str, Any]
    unit: str
    n_of: str
    baseline: RunValue
    others: tuple[RunValue, ...]
    differences: tuple[Difference, ...]
    """For each of the others, its value minus the baseline's."""

    @property
    def same(self) -> bool:
        """Whether all runs have one value, of the same prompts, and changed no prompt where they
        are known."""
        return all(side.value == self.baseline.value for side in self.others) and not any(
            found.rose or found.fell or found.first is not None for found in self.differences
        )

    def sides(self) -> Iterator[tuple[RunValue, RunValue, Difference]]:
        """For each of the others: the baseline's value, its own, and their difference, all three
        of the same prompts where only some are shared."""
        for other, found in zip(self.others, self.differences, strict=True):
            yield (
                _shared(self.baseline, found.first, found),
                _shared(other, found.second, found),
                found,
            )


@dataclass(frozen=True)
class Missing:
    """A number that only some runs hold."""

    id: str
    options: Mapping[str, Any]
    axes: Mapping[str, Any]
    runs: tuple[int, ...]
    """The runs that hold it, as positions in `Comparison.runs` from 0."""


@dataclass(frozen=True)
class Comparison:
    """Runs by the names of their folders, the baseline first; rows in the baseline's order."""

    runs: tuple[str, ...]
    rows: tuple[ComparedNumber, ...]
    missing: tuple[Missing, ...]
    changes: tuple[Change, ...]
    """What else differs: seeds, hashes, versions, the tasks themselves."""

    @property
    def frame(self) -> pd.DataFrame:
        """A DataFrame with a row for each number and each run after the baseline.

        An axis that is called like another column is in a column `axis_<name>`.
        """
        import pandas as pd

        rows = []
        for row in self.rows:
            sides = zip(self.runs[1:], row.sides(), strict=True)
            for run, (base, side, difference) in sides:
                found = {"id": row.id, "run": run, "baseline": base.value}
                found |= {"other": side.value, "difference": difference.value}
                found |= {key: value for key, value in asdict(difference).items() if key != "value"}
                found |= {f"axis_{k}" if k in found else k: v for k, v in row.axes.items()}
                rows.append(found)
        return pd.DataFrame(rows)


def compare_folders(
    folders: Sequence[str | Path], *, only: str = "", allow_invalid: bool = False
) -> Comparison:
    """Compares the runs in some folders; see `compare`.

    Raises UsageError also for fewer than two folders, for folders that hold no run, and for runs
    that are invalid, unless `allow_invalid`.
    """
    if len(folders) < 2:
        raise UsageError("compare: needs at least two runs. Name their folders.")
    runs = [load_run(folder) for folder in folders]
    for run in runs:
        if run.results.status == "invalid" and not allow_invalid:
            problems = run.results.problems or ("no reason was kept",)
            raise UsageError(
                f"{run.name}: the run is invalid, so its numbers may mean something else than its "
                f"task says: {problems[0]} Mend it, or compare all the same with --allow-invalid."
            )
    return compare(runs, only=only)


def compare(runs: Sequence[Run], *, only: str = "") -> Comparison:
    """Compares each run with the first, on the ids that begin with `only`.

    Raises UsageError where two runs hold what looks like one number under other versions or
    options, and where the runs share no number.
    """
    kept = [
        [record for record in run.results.records if record.id.startswith(only)] for run in runs
    ]
    for run, records in zip(runs[1:], kept[1:], strict=True):
        _refuse_mixed(runs[0], run, kept[0], records)
    tables = [{identity(record): record for record in records} for records in kept]
    shared = [key for key in tables[0] if all(key in table for table in tables)]
    if not shared:
        held = listed({record.id for run in runs for record in run.results.records})
        which = f" with an id that begins with {only!r}" if only else ""
        raise UsageError(f"compare: the runs share no number{which}. Ids they hold: {held}.")
    found = [
        differences(runs[0], run, [(tables[0][key], table[key]) for key in shared])
        for run, table in zip(runs[1:], tables[1:], strict=True)
    ]
    rows = [
        _compared([table[key] for table in tables], by_run)
        for key, *by_run in zip(shared, *found, strict=True)
    ]
    return Comparison(
        tuple(run.name for run in runs),
        tuple(rows),
        _missing(tables),
        changes([run.results for run in runs]),
    )


def _refuse_mixed(first: Run, second: Run, one: Sequence[Record], two: Sequence[Record]) -> None:
    found = mixed(one, two)
    if not found:
        return
    lines = [
        f"compare: {first.name} and {second.name} computed numbers of one name differently, so "
        "their difference would mean nothing:"
    ]
    lines += [f"  {each}" for each in found[:_MOST_MIXED]]
    if len(found) > _MOST_MIXED:
        lines.append(f"  and {len(found) - _MOST_MIXED} more")
    lines.append("Run one of them again as the other, or compare other numbers with --only.")
    raise UsageError("\n".join(lines))


def _compared(records: Sequence[Record], found: Sequence[Difference]) -> ComparedNumber:
    first, *others = records
    base, sides = _value(first), tuple(map(_value, others))
    if len(found) == 1:  # of two runs, all three numbers are of the same prompts
        base = _shared(base, found[0].first, found[0])
    sides = tuple(_shared(s, one.second, one) for s, one in zip(sides, found, strict=True))
    return ComparedNumber(
        first.id, first.options, first.axes, first.unit, first.n_of, base, sides, tuple(found),
    )  # fmt: skip


def _shared(side: RunValue, value: float | None, found: Difference) -> RunValue:
    """A run's value over the prompts that two runs share; as it is where they share all or none."""
    if value is None or found.prompts is None:
        return side
    return RunValue(value, found.prompts, None, None)


def _value(record: Record) -> RunValue:
    return RunValue(record.value, record.n, record.ci, record.undefined)


def _missing(tables: Sequence[Mapping[str, Record]]) -> tuple[Missing, ...]:
    found = []
    for key in dict.fromkeys(key for table in tables for key in table):
        holders = [n for n, table in enumerate(tables) if key in table]
        if len(holders) < len(tables):
            record = tables[holders[0]][key]
            found.append(Missing(record.id, record.options, record.axes, tuple(holders)))
    return tuple(found)
