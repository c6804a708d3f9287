"""When a run's folder first knew each family, and which discoveries came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.contract import PValues, Results
from harness.families import evaluate
from harness.results.folder import FAMILIES
from harness.results.write import unique
from harness.running.stated import Memory, Said, dated_table, recalled
from harness.task.families import Family

FILE = FAMILIES
TABLE = "families"
"""The table of their members, which is none of an analysis or a statistic."""
_KEYS = ("text", "of", "against", "rate", "dependence")


def remember(folder: Path, task: Mapping[str, Any], now: datetime | None = None) -> Memory:
    """What a folder remembers of families; those that it does not know yet are added."""
    return recalled(folder / FILE, _said(task), _KEYS, now)


def dated(task: Mapping[str, Any], memory: Memory) -> dict[str, Any]:
    """The resolved task, whose families tell when they were written."""
    return dated_table(task, "families", _said(task), memory)


def discovered(
    results: Results, families: Sequence[Family], many: Sequence[PValues], memory: Memory
) -> Results:
    """The results with the discoveries of the task's families: outcomes, records and the table of
    members, and a note on each family that the run was measured with and that is no more."""
    said = _said(results.task)
    found = evaluate(families, results, many)
    outcomes = []
    for outcome in found.outcomes:
        first = memory.first(said[outcome.name])
        outcomes.append(replace(outcome, written=first.written, late=first.late))
    memory.measured(said, results)
    notes = [
        f"families.{name}: the run was measured with this family: {before['text']} "
        f"({before['of']}, rate {before['rate']}). It was {what} since."
        for name, before, what in memory.changed(said)
    ]
    return replace(
        results,
        families=tuple(outcomes),
        records=unique([*results.records, *found.records]),
        tables={**results.tables, **({TABLE: found.rows} if found.rows else {})},
        warnings=(*results.warnings, *notes),
    )


def _said(task: Mapping[str, Any]) -> dict[str, Said]:
    """What each family of a task says; white space aside."""
    return {
        name: {
            "text": " ".join(str(table["text"]).split()),
            "of": "; ".join(" ".join(one.split()) for one in _several(table["of"])),
            "against": table.get("against"),
            "rate": str(table.get("rate", 0.05)),
            "dependence": str(table.get("dependence", "positive")),
        }
        for name, table in task.get("families", {}).items()
    }


def _several(of: Any) -> list[str]:
    return [of] if isinstance(of, str) else [*of]
