"""Remembers what a judge said, so that nothing is asked twice, also after a crash."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO


@dataclass(frozen=True)
class Said:
    """What a judge answered: its one token as text, and whether it saw all that was written."""

    answer: str
    clipped: bool = False
    """Whether the completion was longer than what is judged."""
    cut: bool = False
    """Whether the prompt lost its start."""


class VerdictCache:
    """Answers by the hash of all that they depend on: one append-only file, or memory alone.

    A line that was torn by a crash, or is not ours, is passed over: its question is asked again.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._out: IO[str] | None = None
        self._known: dict[str, Said] = {}
        if file is not None and file.exists():
            for line in file.read_bytes().split(b"\n"):
                self._read(line)

    def __enter__(self) -> VerdictCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._out is not None:
            self._out.close()
            self._out = None

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Said:
        return self._known[key]

    def add(self, key: str, said: Said) -> None:
        """Remembers one answer; in the file when this returns. What is known stays as it is."""
        if key in self._known:
            return
        self._known[key] = said
        if self._file is None:
            return
        if self._out is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            torn = self._file.exists() and self._file.read_bytes()[-1:] not in (b"", b"\n")
            self._out = self._file.open("a", encoding="utf-8")
            self._out.write("\n" if torn else "")
        self._out.write(json.dumps({"key": key, **asdict(said)}) + "\n")
        self._out.flush()

    def _read(self, line: bytes) -> None:
        try:
            entry = json.loads(line)
            key, said = entry.pop("key"), Said(**entry)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return
        if isinstance(key, str) and isinstance(said.answer, str):
            self._known[key] = said
