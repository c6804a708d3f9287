"""Names for files out of any text, and which names are safe on every system."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

LONGEST = 80
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=@,-]*")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
"""What Windows keeps for devices, with any suffix."""
_LONGEST_PART, _LONGEST_PATH = 120, 220


def safe_name(text: str, longest: int = LONGEST) -> str:
    """A name for a file out of any text: what is no letter, digit, `.`, `_` or `-` of ASCII is a
    `-`. Different texts may get the same name: `safe_names`."""
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[: 4 * longest]
    name = re.sub(r"-{2,}", "-", words).strip("-.")[:longest].strip("-.") or "unnamed"
    return f"_{name}" if _RESERVED.fullmatch(name) else name


def safe_names(texts: Iterable[str], longest: int = LONGEST) -> list[str]:
    """A name for each text, in their order; no two are the same, in capitals or not: the second
    one of a name ends in `-2`."""
    taken: set[str] = set()
    found = []
    for text in texts:
        stem = name = safe_name(text, longest)
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.lower())
        found.append(name)
    return found


def unsafe(path: str) -> str:
    """Why a relative path, with `/` between its parts, is not safe on every system; else empty."""
    if len(path) > _LONGEST_PATH:
        return f"it is longer than {_LONGEST_PATH} characters"
    for part in path.split("/"):
        if not _PART.fullmatch(part) or part.endswith("."):
            return (
                "each part must be letters, digits and ._+=@,- of ASCII, begin with a letter, a "
                "digit or _, and not end with a full stop"
            )
        if len(part) > _LONGEST_PART:
            return f"a part is longer than {_LONGEST_PART} characters"
        if _RESERVED.fullmatch(part):
            return f"{part} is the name of a device on Windows"
    return ""


def clash(path: str, others: Collection[str]) -> str:
    """Why a path cannot lie in one folder with others: two are the same, in capitals or not, or one
    is a file where another needs a folder. Empty where it can."""
    mine = path.lower()
    for other in others:
        its = other.lower()
        if mine == its:
            return f"two files are called {path}"
        if mine.startswith(f"{its}/") or its.startswith(f"{mine}/"):
            return f"{min(path, other, key=len)} is a file and a folder"
    return ""
