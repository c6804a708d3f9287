"""When a run's folder first knew each claim, and how the claims came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.claims import evaluate_results
from harness.contract import Results
from harness.results.folder import CLAIMS
from harness.running.stated import Memory, Said, dated_table, recalled

FILE = CLAIMS
_KEYS = ("text", "holds", "against")


def remember(folder: Path, task: Mapping[str, Any], now: datetime | None = None) -> Memory:
    """What a folder remembers of claims; those that it does not know yet are added."""
    return recalled(folder / FILE, _said(task), _KEYS, now)


def dated(task: Mapping[str, Any], memory: Memory) -> dict[str, Any]:
    """The resolved task, whose claims tell when they were written."""
    return dated_table(task, "claims", _said(task), memory)


def come_out(results: Results, memory: Memory) -> Results:
    """The results with how the task's claims came out, and with a note on each that the run was
    measured with and that was changed or taken out since."""
    said = _said(results.task)
    outcomes = []
    for outcome in evaluate_results(results):
        first = memory.first(said[outcome.name])
        outcomes.append(replace(outcome, written=first.written, late=first.late))
    memory.measured(said, results)
    notes = [
        f"claims.{name}: the run was measured with this claim: {before['text']} "
        f"({before['holds']}). It was {what} since."
        for name, before, what in memory.changed(said)
    ]
    return replace(results, claims=tuple(outcomes), warnings=(*results.warnings, *notes))


def _said(task: Mapping[str, Any]) -> dict[str, Said]:
    """What each claim of a task says; white space aside."""
    return {
        name: {
            "text": " ".join(str(table["text"]).split()),
            "holds": " ".join(str(table["holds"]).split()),
            "against": table.get("against"),
        }
        for name, table in task.get("claims", {}).items()
    }
