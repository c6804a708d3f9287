"""When a run's folder first knew what a task states, and whether it had been measured by then.

The folder's memory only grows: what is changed after the run is something else, which was first
known then. So nobody can state what a run found as what was expected of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.contract import Results
from harness.store.lines import Lines

_SEEN = ("work/*.jsonl", "work/passes/*", "samples/*", "tables/*", "benchmarks/*")
"""What a folder holds once something in it was measured, beside the states of a preflight."""
Said = Mapping[str, str | None]
"""What makes a statement this one, such as the words, the condition and the control of a claim."""


@dataclass(frozen=True)
class Known:
    """A statement as a folder first knew it."""

    name: str
    said: Said
    written: str
    """The time, in UTC."""
    late: bool
    """Whether something had been measured by then."""


@dataclass
class Memory:
    """What a folder remembers of statements: each with its time, and those it was measured with."""

    file: Path
    known: list[Known] = field(default_factory=list)
    measured_with: dict[str, Said] | None = None

    def first(self, said: Said) -> Known:
        """When a statement was first known; KeyError where it never was."""
        for one in self.known:
            if one.said == said:
                return one
        raise KeyError(said)

    def measured(self, said: Mapping[str, Said], results: Results) -> None:
        """Remembers with which statements the folder was measured, when that is first done."""
        if results.status != "complete" or self.measured_with is not None:
            return
        self.measured_with = {**said}
        if said or self.known:
            with closing(Lines(self.file)) as lines:
                lines.add({"measured_with": {name: dict(one) for name, one in said.items()}})

    def changed(self, said: Mapping[str, Said]) -> Iterator[tuple[str, Said, str]]:
        """What the folder was measured with and that is no more: name, content, what became of
        it."""
        for name, before in (self.measured_with or {}).items():
            if before not in said.values() and not self.first(before).late:
                yield name, before, "changed" if name in said else "taken out of the task"


def recalled(
    file: Path, said: Mapping[str, Said], keys: tuple[str, ...], now: datetime | None = None
) -> Memory:
    """The memory in a file, to which statements that it does not know yet are added.

    `keys` are those of each statement. One was written before the run where a run or a resume of
    the folder knew it before any number or completion was made in it; a preflight that failed is no
    number.
    """
    memory = Memory(file)
    time = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    late = _measured(file.parent)
    with closing(Lines(file)) as lines:
        for known, stated in lines.entries(lambda line: _read(line, keys)):
            if known is not None:
                memory.known.append(known)
            elif memory.measured_with is None:
                memory.measured_with = stated
        for name, one in said.items():
            if any(before.said == one for before in memory.known):
                continue
            memory.known.append(Known(name, one, time, late))
            lines.add({"name": name, "said": dict(one), "written": time, "late": late})
    return memory


def dated_table(
    task: Mapping[str, Any], table: str, said: Mapping[str, Said], memory: Memory
) -> dict[str, Any]:
    """The resolved task, in which the entries of a table tell when they were written."""
    entries = {
        name: {**entry, "written": memory.first(said[name]).written}
        for name, entry in task.get(table, {}).items()
    }
    return {**task, **({table: entries} if entries else {})}


def _read(line: Any, keys: tuple[str, ...]) -> tuple[Known | None, dict[str, Said]]:
    if "measured_with" in line:
        with_keys = {str(name): _only(said, keys) for name, said in line["measured_with"].items()}
        return None, with_keys
    if not isinstance(line["late"], bool):
        raise ValueError("late is yes or no")
    known = Known(str(line["name"]), _only(line["said"], keys), str(line["written"]), line["late"])
    return known, {}


def _only(said: Any, keys: tuple[str, ...]) -> Said:
    return {key: said[key] for key in keys}


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
