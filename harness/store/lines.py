"""A file that only grows: one entry a line, so that a crash loses the last lines at most.

Each line holds a JSON value with a hash of it. A line that does not fit its hash is never used.

What was added is with the system at once, which keeps it whatever becomes of this process. To have
it on the disk as well, which a power cut needs, takes longer than many a line takes to be made: so
there are `add`, for lines that come seldom or cost much, and `add_soon`, for those that come fast.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from harness.store.keys import hash_of, hashed
from harness.store.notes import CHANGED, dropped

T_ = TypeVar("T_")

SOON = 1.0
"""Seconds: `add_soon` puts on the disk what was added since the last time if that is so long ago.
So a power cut costs at most what took a second to make, and lines that take longer are on the disk
at once."""


class Lines:
    """An append-only file of JSON values, or nothing at all where there is no file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._out: IO[bytes] | None = None
        self._synced = float("-inf")
        """When all that had been added was on the disk."""
        self._waiting = False
        """Whether something was added since."""

    def values(self) -> Iterator[Any]:
        """The values of the file, in order.

        Lines that a crash tore, that were changed, or that are not ours are left out. How many
        they were is noted at the end.
        """
        return self.entries(lambda value: value)

    def entries(self, read: Callable[[Any], T_]) -> Iterator[T_]:
        """What `read` makes of each value; those on which it raises are left out like the others.

        It may raise what comes of a value of another form: AttributeError, KeyError, TypeError or
        ValueError.
        """
        if self._file is None or not self._file.exists():
            return
        bad = 0
        with self._file.open("rb") as lines:
            for line in lines:
                if not line.strip():
                    continue
                try:
                    found = read(_value(line))
                except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
                    bad += 1
                    continue
                yield found
        if bad:
            dropped(self._file, bad, "remembered line", CHANGED)

    def read(self) -> Iterator[dict[str, Any]]:
        """Those of the values that are objects."""
        return (value for value in self.values() if isinstance(value, dict))

    def whole(self) -> bool:
        """Whether every line fits its hash."""
        if self._file is None or not self._file.exists():
            return True
        try:
            with self._file.open("rb") as lines:
                for line in lines:
                    if line.strip():
                        _value(line)
        except (OSError, AttributeError, LookupError, TypeError, ValueError, RecursionError):
            return False
        return True

    def add(self, *values: Any) -> None:
        """Appends values, a line each; they are on disk when this returns."""
        self._write(values)
        self._sync()

    def add_soon(self, *values: Any) -> None:
        """Appends values, a line each, all of which were made since the last call.

        No crash of the process loses them. They are on disk when this returns if the last time was
        `SOON` ago, else from the next call after that, or from `close`.
        """
        self._write(values)
        if time.monotonic() - self._synced >= SOON:
            self._sync()

    def close(self) -> None:
        """Closes the file, with all that was added on disk; `add` opens it again."""
        if self._out is not None:
            try:
                self._sync()
            finally:
                self._out.close()
                self._out = None

    def _write(self, values: Sequence[Any]) -> None:
        if self._file is None or not values:
            return
        if self._out is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._out = self._file.open("ab+")
            if self._out.tell():
                self._out.seek(-1, os.SEEK_END)
                if self._out.read(1) != b"\n":
                    self._out.write(b"\n")  # a crash tore the last line
        self._out.write("".join(f"{_line(value)}\n" for value in values).encode())
        self._out.flush()
        self._waiting = True

    def _sync(self) -> None:
        if self._out is not None and self._waiting:
            os.fsync(self._out.fileno())
            self._synced, self._waiting = time.monotonic(), False


def _line(value: Any) -> str:
    text, sha256 = hashed(value)
    return f'{{"sha256": "{sha256}", "value": {text}}}'


def _value(line: bytes) -> Any:
    """The value of a line; ValueError where it does not fit its hash."""
    entry = json.loads(line.decode("utf-8"))
    if set(entry) != {"sha256", "value"} or hash_of(entry["value"]) != entry["sha256"]:
        raise ValueError("it does not fit its hash")
    return entry["value"]
