"""Pieces of Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`[^`]*`)")
_BAR = re.compile(r"(?<=[^\s\\])\||\|(?=\S)")
"""A bar that ends no cell: those have a space, or the line's end, on both sides."""


def note(what: str) -> str:
    """The line that says where a page comes from."""
    return f"<!-- Made by docs/build.py from {what}. Edit that, not this. -->"


def prose(text: str) -> str:
    """A docstring as Markdown: literal blocks stay indented, `<` outside of code is escaped, and
    bars inside the cells of a table, as in |x|, too."""
    text = re.sub(r"::$", ":", text, flags=re.MULTILINE)
    return "\n".join(line if line.startswith("    ") else _line(line) for line in text.split("\n"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; `|` in a cell is escaped, also in code."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        cells = (" ".join(_plain(cell).replace("|", "\\|").split()) for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def code(text: str) -> str:
    """Inline code; nothing of nothing."""
    return f"`{text}`" if text else ""


def anchor(heading: str) -> str:
    """The fragment that GitHub gives a heading."""
    words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return words.replace(" ", "-")


def anchors(headings: Iterable[str]) -> list[str]:
    """The fragments of all headings of a page: those that come again are counted."""
    seen: dict[str, int] = {}
    found = []
    for heading in headings:
        name = anchor(heading)
        again = seen.get(name, 0)
        seen[name] = again + 1
        found.append(f"{name}-{again}" if again else name)
    return found


def joined(parts: Iterable[str]) -> str:
    """Paragraphs, headings and tables as a page."""
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _line(line: str) -> str:
    line = _plain(line)
    if not line.startswith("| "):
        return line
    return f"{line[0]}{_BAR.sub(_escaped, line[1:-1])}{line[-1]}"


def _escaped(bar: re.Match[str]) -> str:
    before = bar.string[bar.start() - 1] if bar.start() else ""
    return "|" if before == "\\" else "\\|"


def _plain(text: str) -> str:
    """Text with `<` escaped where it is not in code."""
    pieces = _CODE.split(text)
    return "".join(
        piece if piece.startswith("`") else piece.replace("<", "&lt;") for piece in pieces
    )
