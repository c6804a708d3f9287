"""Names of exported files that every system takes, each of them once."""

from __future__ import annotations

import hashlib
import re

_LONGEST = 90
_RESERVED = re.compile(r"(con|prn|aux|nul|data|com\d|lpt\d)?", re.IGNORECASE)
"""What is no name: nothing, devices of Windows, and the top folder of Every Eval Ever."""


class FileNames:
    """Makes file names of words; words that would have one name are told apart by a hash."""

    def __init__(self, ending: str) -> None:
        self._ending = ending
        self._taken: dict[str, str] = {}

    def name(self, *words: str) -> str:
        """`bypass-chat_features-k-8.eval` of `bypass` and `chat_features k=8`."""
        full = "\x00".join(words)
        plain = re.sub(r"[^A-Za-z0-9_]+", "-", "-".join(words)).strip("-")[:_LONGEST]
        if _RESERVED.fullmatch(plain):
            plain = f"file-{plain}".rstrip("-")
        # Names that differ in case alone are one file on some systems.
        if self._taken.setdefault(plain.lower(), full) != full:
            plain = (
                f"{plain}-{hashlib.sha256(full.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
            )
        return f"{plain}{self._ending}"


def safe_part(text: str) -> str:
    """A part of a path that is a name on every system: `gemma-2-2b-it`, `a_b` of `a/b`."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", text)[:_LONGEST].strip(".")
    return f"x-{plain}".rstrip("-") if _RESERVED.fullmatch(plain.partition(".")[0]) else plain
