"""The observer `jsonl`: a log of events that other programs can follow while the run goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path

from harness.contract import Event, RunStarted
from harness.errors import UsageError
from harness_observers.options import JsonlOptions

SCHEMA = 1
"""The version of the form of a line."""
_TAIL = 2**16
"""Bytes at the end of a file in which the beginning of a torn line is looked for at a time."""


class Jsonl:
    """One line of JSON for each event, appended to `events.jsonl` in the run's folder.

    A line is `{"schema": 1, "event": KIND, "run": …, "number": …, "time": …, …}`: the fields of the
    event with those of its stamp and its effort beside them, in ASCII. It is written at once, so
    that whatever ends the process, there are whole lines only; what a power cut tore is cut off by
    the next run, which goes on below. The schema is in docs/observers.md.
    """

    def __init__(self, options: JsonlOptions) -> None:
        self._name = options.file
        self._out: int | None = None

    def see(self, event: Event) -> None:
        """Writes the line of an event; the first one opens the file, the last one closes it."""
        if isinstance(event, RunStarted):
            self._out = _opened(Path(event.folder) / self._name)
        if self._out is None:
            return
        _write(self._out, line(event))
        if event.ends:
            os.fsync(self._out)
            os.close(self._out)
            self._out = None


def line(event: Event) -> bytes:
    """The line of an event, with its end. Nothing in it does anything to a terminal."""
    values = {"schema": SCHEMA, **event.plain()}
    return (json.dumps(values, ensure_ascii=True, allow_nan=False, default=str) + "\n").encode()


def _opened(file: Path) -> int:
    """The file, open for whole lines at its end. Raises UsageError where it is a link."""
    if file.is_symlink():
        raise UsageError(
            f"{file}: is a link, and events are written into the run's own folder. Remove it."
        )
    out = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    _mend(out)
    return out


def _write(out: int, data: bytes) -> None:
    """Appends a line whole, or not at all where the disk is full."""
    before = os.fstat(out).st_size
    try:
        while data:
            data = data[os.write(out, data) :]
    except OSError:
        os.ftruncate(out, before)
        raise


def _mend(out: int) -> None:
    """Cuts off a last line that has no end."""
    end = size = os.fstat(out).st_size
    while end:
        begin = max(0, end - _TAIL)
        found = os.pread(out, end - begin, begin).rfind(b"\n")
        if found >= 0:
            end = begin + found + 1
            break
        end = begin
    if end < size:
        os.ftruncate(out, end)
