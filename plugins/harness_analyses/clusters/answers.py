"""Remembers what a judge answered, so that nothing is asked twice, also after a crash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


class Answers:
    """Answers by the hash of judge and prompt: an append-only file, or memory alone.

    A line that was torn by a crash, or is not ours, is passed over: its question is asked again.
    """

    def __init__(self, file: Path | None, judge: str) -> None:
        self._file, self._judge = file, judge
        self._known: dict[str, str] = {}
        text = file.read_text(encoding="utf-8", errors="replace") if file and file.exists() else ""
        for line in text.split("\n"):
            try:
                entry = json.loads(line)
                key, said = entry["key"], entry["answer"]
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
            if isinstance(key, str) and isinstance(said, str):
                self._known[key] = said
        self._torn = bool(text) and not text.endswith("\n")

    def get(self, prompt: str) -> str | None:
        """What was answered, if it was asked."""
        return self._known.get(self._key(prompt))

    def add(self, prompt: str, said: str) -> None:
        """Remembers one answer; in the file when this returns."""
        self._known[self._key(prompt)] = said
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as out:
                line = json.dumps({"key": self._key(prompt), "answer": said})
                out.write("\n" * self._torn + line + "\n")
            self._torn = False

    def _key(self, prompt: str) -> str:
        text = f"{self._judge}\0{prompt}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()
