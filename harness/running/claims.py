"""When a run's folder first knew each claim, and whether it had been measured by then.

The folder's memory only grows: a claim that is changed after the run is another one, which was
first known then. So nobody can state what a run found as what was expected of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.claims import evaluate_results
from harness.contract import Results
from harness.store.lines import Lines

FILE = "claims.jsonl"
_SEEN = ("work/*.jsonl", "work/passes/*", "samples/*", "tables/*", "benchmarks/*")
"""What a folder holds once something in it was measured, beside the states of a preflight."""
Said = Mapping[str, str | None]
"""The words, the condition and the control of a claim: what makes it this claim."""


@dataclass(frozen=True)
class Known:
    """A claim as a folder first knew it."""

    name: str
    said: Said
    written: str
    """The time, in UTC."""
    late: bool
    """Whether something had been measured by then."""


@dataclass
class Memory:
    """What a folder remembers of claims: each with its time, and those it was measured with."""

    file: Path
    known: list[Known] = field(default_factory=list)
    measured_with: dict[str, Said] | None = None

    def first(self, said: Said) -> Known:
        """When a claim was first known; KeyError where it never was."""
        for one in self.known:
            if one.said == said:
                return one
        raise KeyError(said)


def remember(folder: Path, task: Mapping[str, Any], now: datetime | None = None) -> Memory:
    """Adds claims that the folder does not know yet to its memory.

    A claim was written before the run where a run or a resume of the folder knew it before any
    number or completion was made in it; a preflight that failed is no number.
    """
    memory = Memory(folder / FILE)
    time = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    late = _measured(folder)
    with closing(Lines(memory.file)) as lines:
        for known, claims in lines.entries(_read):
            if known is not None:
                memory.known.append(known)
            elif memory.measured_with is None:
                memory.measured_with = claims
        for name, said in _said(task).items():
            if any(one.said == said for one in memory.known):
                continue
            memory.known.append(Known(name, said, time, late))
            lines.add({"name": name, "said": dict(said), "written": time, "late": late})
    return memory


def dated(task: Mapping[str, Any], memory: Memory) -> dict[str, Any]:
    """The resolved task, whose claims tell when they were written."""
    said = _said(task)
    claims = {
        name: {**table, "written": memory.first(said[name]).written}
        for name, table in task.get("claims", {}).items()
    }
    return {**task, **({"claims": claims} if claims else {})}


def come_out(results: Results, memory: Memory) -> Results:
    """The results with how the task's claims came out, and with a note on each that the run was
    measured with and that was changed or taken out since."""
    said = _said(results.task)
    outcomes = []
    for outcome in evaluate_results(results):
        first = memory.first(said[outcome.name])
        outcomes.append(replace(outcome, written=first.written, late=first.late))
    if results.status == "complete" and memory.measured_with is None:
        memory.measured_with = said
        if said or memory.known:
            with closing(Lines(memory.file)) as lines:
                lines.add({"measured_with": {name: dict(one) for name, one in said.items()}})
    notes = _notes(said, memory)
    return replace(results, claims=tuple(outcomes), warnings=(*results.warnings, *notes))


def _notes(said: Mapping[str, Said], memory: Memory) -> list[str]:
    notes = []
    for name, before in (memory.measured_with or {}).items():
        if before in said.values() or memory.first(before).late:
            continue
        what = "It was changed" if name in said else "It was taken out of the task"
        words = f"{before['text']} ({before['holds']})"
        notes.append(f"claims.{name}: the run was measured with this claim: {words}. {what} since.")
    return notes


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


def _read(line: Any) -> tuple[Known | None, dict[str, Said]]:
    if "measured_with" in line:
        return None, {str(name): _three(said) for name, said in line["measured_with"].items()}
    if not isinstance(line["late"], bool):
        raise ValueError("late is yes or no")
    known = Known(str(line["name"]), _three(line["said"]), str(line["written"]), line["late"])
    return known, {}


def _three(said: Any) -> Said:
    return {key: said[key] for key in ("text", "holds", "against")}


def _measured(folder: Path) -> bool:
    """Whether a number or a completion was made in a folder."""
    found = [path for pattern in _SEEN for path in folder.glob(pattern)]
    return any(not path.name.startswith(("preflight", ".")) for path in found) or _complete(folder)


def _complete(folder: Path) -> bool:
    try:
        with (folder / "results.json").open("rb") as file:
            return b'"status": "complete"' in file.read(200)
    except OSError:
        return False
