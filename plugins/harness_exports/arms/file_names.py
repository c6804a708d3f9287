"""Names of exported files that every system takes, each of them once."""

from __future__ import annotations

import hashlib

from harness.store.names import safe_name

_LONGEST = 90


class FileNames:
    """Makes file names of words; words that would have one name are told apart by a hash, so that
    a name does not hang on which other files there are before it."""

    def __init__(self, ending: str) -> None:
        self._ending = ending
        self._taken: dict[str, str] = {}

    def name(self, *words: str) -> str:
        """`bypass-chat_features-k-8.eval` of `bypass` and `chat_features k=8`."""
        full = "\x00".join(words)
        plain = safe_name("-".join(words), _LONGEST)
        # Names that differ in case alone are one file on some systems.
        if self._taken.setdefault(plain.lower(), full) != full:
            plain += f"-{hashlib.sha256(full.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
        return f"{plain}{self._ending}"


def safe_part(text: str) -> str:
    """A part of a path below `data/`, none of which may be called so: `gemma-2-2b-it`."""
    plain = safe_name(text, _LONGEST)
    return f"_{plain}" if plain.lower() == "data" else plain
