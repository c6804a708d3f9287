"""A file that only grows: one JSON value a line, so that a crash loses the last lines at most."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


class Lines:
    """An append-only file of JSON values, or nothing at all where there is no file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._out: IO[bytes] | None = None

    def values(self) -> Iterator[Any]:
        """The values of the file, in order, without lines that a crash tore or that are no JSON."""
        if self._file is None or not self._file.exists():
            return
        with self._file.open("rb") as lines:
            for line in lines:
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                yield value

    def read(self) -> Iterator[dict[str, Any]]:
        """Those of the values that are objects."""
        return (value for value in self.values() if isinstance(value, dict))

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
        self._out.write("".join(f"{json.dumps(value)}\n" for value in values).encode())
        self._out.flush()
        os.fsync(self._out.fileno())

    def close(self) -> None:
        """Closes the file; `add` opens it again."""
        if self._out is not None:
            self._out.close()
            self._out = None
