"""A file that only grows: one entry a line, so that a crash loses the last lines at most.

Each line holds a JSON value with a hash of it. A line that does not fit its hash is never used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from harness.store.keys import hash_of
from harness.store.notes import CHANGED, dropped

T_ = TypeVar("T_")


class Lines:
    """An append-only file of JSON values, or nothing at all where there is no file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._out: IO[bytes] | None = None

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
        os.fsync(self._out.fileno())

    def close(self) -> None:
        """Closes the file; `add` opens it again."""
        if self._out is not None:
            self._out.close()
            self._out = None


def _line(value: Any) -> str:
    return json.dumps({"sha256": hash_of(value), "value": value})


def _value(line: bytes) -> Any:
    """The value of a line; ValueError where it does not fit its hash."""
    entry = json.loads(line.decode("utf-8"))
    if set(entry) != {"sha256", "value"} or hash_of(entry["value"]) != entry["sha256"]:
        raise ValueError("it does not fit its hash")
    return entry["value"]
