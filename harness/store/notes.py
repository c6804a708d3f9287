"""What is said of remembered work that was not used: each reader notes it, a run collects it.

One rule holds for everything that is remembered. An entry has a key, which lists all that it was
made from, and a hash of itself. Where either does not fit, the entry is dropped and noted here,
and whatever it held is made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

CHANGED = "torn or changed since it was written"
"""Why an entry is dropped that does not fit its hash, or is not what it should be."""

_heard: ContextVar[list[str] | None] = ContextVar("_heard", default=None)


@contextmanager
def hearing() -> Iterator[list[str]]:
    """Collects what is noted in the block, each text once."""
    notes: list[str] = []
    before = _heard.set(notes)
    try:
        yield notes
    finally:
        _heard.reset(before)


def dropped(file: Path, count: int, what: str, why: str) -> None:
    """Notes that a file holds so many of `what` (one of them, in words) that are not used."""
    one = count == 1
    many = f"{count} {what}{'' if one else 's'}, because {'it was' if one else 'they were'}"
    note(f"{file}: dropped {many} {why}. What is missing is redone.")


def note(text: str) -> None:
    """Notes something of remembered work; heard by whoever runs inside `hearing`."""
    notes = _heard.get()
    if notes is not None and text not in notes:
        notes.append(text)
