"""Markdown of hostile text: whatever a model or a stranger wrote stays text on every renderer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harness.text import visible

_LONGEST = 400
_SPECIAL = re.compile(r"([\\`*{}\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
"""What means something within a line; an underscore inside a word means nothing."""
_BEGINS = re.compile(r"^(?:([-+](?=[\s-]|$)|[#=])|(\d+)([.)])(?=\s|$))")
"""What means something at the beginning of a line, or of an item of a list."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@=,/+-]{0,79}")


def text(value: object, longest: int = _LONGEST) -> str:
    """A value as plain text on one line, in which nothing is markup, HTML, a link or a mention.

    What means something to markdown is escaped with a backslash, or as an entity where a backslash
    does not help: GitHub makes links of `http://`, `www.` and `@name` by themselves.
    """
    line = " ".join(visible(value, longest).split())
    line = _SPECIAL.sub(r"\\\1", line.replace("&", "&amp;"))
    line = _BEGINS.sub(r"\2\\\1\3", line)
    line = line.replace("<", "&lt;").replace(">", "&gt;")
    line = line.replace("://", "&#58;//").replace("@", "&#64;")
    return re.sub(r"\b(www)\.", r"\1&#46;", line, flags=re.IGNORECASE)


def name(value: object) -> str:
    """A name as code where it is one; else as plain text."""
    return f"`{value}`" if _NAME.fullmatch(str(value)) else text(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of cells that are markdown already, as lines; none without rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return []
    return ["", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *lines, ""]


def fenced(content: str, language: str) -> list[str]:
    """A block of code that its content cannot end: the fence is longer than all in it."""
    shown = visible(content, len(content) + 1)
    longest = max(map(len, re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *shown.rstrip("\n").split("\n"), fence]
