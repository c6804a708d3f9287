"""A file that only grows: one JSON object a line, so that a crash loses the last line at most."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any


class Lines:
    """An append-only file of JSON objects, or nothing at all where there is no file."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._out: IO[bytes] | None = None

    def read(self) -> Iterator[dict[str, Any]]:
        """The objects of the file, without lines that a crash tore or that are not ours."""
        if self._file is None or not self._file.exists():
            return
        with self._file.open("rb") as lines:
            for line in lines:
                try:
                    entry = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(entry, dict):
                    yield entry

    def add(self, entry: Mapping[str, Any]) -> None:
        """Appends one object; it is on disk when this returns: all of it or nothing."""
        if self._file is None:
            return
        if self._out is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._out = self._file.open("ab+")
            if self._out.tell():
                self._out.seek(-1, os.SEEK_END)
                if self._out.read(1) != b"\n":
                    self._out.write(b"\n")  # a crash tore the last line
        self._out.write(json.dumps(entry).encode() + b"\n")
        self._out.flush()
        os.fsync(self._out.fileno())

    def close(self) -> None:
        """Closes the file; `add` opens it again."""
        if self._out is not None:
            self._out.close()
            self._out = None
