"""What can go wrong, and the exit code that says so.

HarnessError
├── UsageError        2   wrong usage, task, data or plugin: the person can fix it
│   ├── TaskError         something in a task file; carries every problem found, not the first
│   ├── DataError         rows that are missing, empty, unreadable or of another shape
│   ├── PluginError       a plugin that is unknown, ambiguous, broken or too old
│   ├── ModelError        a model, adapter, tokenizer or SAE that does not load or fit
│   └── BadRows           rows and a model that do not fit each other: no prompt can be made
├── GateFailed        1   the numbers are fine, but a gate of the task does not hold
├── InvalidRun        3   a preflight, sentinel or receipt failed: the numbers would be wrong
└── MachineError      4   disk, network or memory: a rerun continues

Every message reads *where: what is wrong. What is allowed. What to do.*
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


class HarnessError(Exception):
    """Root of everything that is reported in words, without a traceback."""

    exit_code = 2


class UsageError(HarnessError):
    """The command, a task, a file or a plugin is wrong; nothing was measured."""


class DataError(UsageError):
    """Data are missing, empty, unreadable, or have another shape than the task says."""


class PluginError(UsageError):
    """A plugin is unknown, ambiguous, broken, disabled or wants another version of us."""


class ModelError(UsageError):
    """A model, adapter, tokenizer or SAE does not load, or does not fit the task."""


class BadRows(DataError, ModelError):
    """Rows of which a model makes no prompt, such as turns that its chat template refuses.

    `rows` says why for each of them, by its place among the rows that were given.
    """

    def __init__(self, rows: Mapping[int, str]) -> None:
        self.rows = {place: rows[place] for place in sorted(rows)}
        super().__init__(next(iter(self.rows.values())))


class GateFailed(HarnessError):
    """A gate does not hold, or what it is about was not measured."""

    exit_code = 1


class InvalidRun(HarnessError):
    """The run measured something else than the task says; its numbers must not be used."""

    exit_code = 3


class MachineError(HarnessError):
    """The machine failed us (disk, network, memory). What was finished is kept."""

    exit_code = 4


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a task, with the place where it was written."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class TaskError(UsageError):
    """A task file is wrong; `problems` holds everything found in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a message, sorted; a long list is cut and counted."""
    ordered = [spelled(name) for name in sorted(names)]
    if not ordered:
        return "none"
    shown = ", ".join(ordered[:most])
    return shown if len(ordered) <= most else f"{shown} and {len(ordered) - most} more"


def suggestion(word: str, names: Iterable[str]) -> str:
    """` Did you mean x?` when one of `names` is close to `word`, else nothing."""
    import difflib

    names = list(names)
    # Case counts for nothing in a guess: `CSV` is nearer to `csv` than to anything else.
    lower = {name.lower(): name for name in reversed(names)}
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6) or [
        lower[one] for one in difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    ]
    return f" Did you mean {spelled(close[0])}?" if close else ""


def spelled(name: str) -> str:
    """A name for a message; in quotes, with escapes, where a part of it cannot be seen."""
    seen = name.isprintable() and name == name.strip() and name
    return name if seen else repr(name)


def unknown(what: str, word: str, names: Iterable[str]) -> str:
    """The sentence for a name that does not exist: what it is, what is allowed, a guess."""
    names = list(names)
    shown = word if len(word) <= 80 else f"{word[:77]}…"
    return f"unknown {what} {shown!r}. Allowed: {listed(names)}.{suggestion(word, names)}"
