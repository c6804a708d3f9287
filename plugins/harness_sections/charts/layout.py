"""How charts whose names stand at an axis are laid out: cut names, and a height for the rows."""

from __future__ import annotations

from harness.contract import JSON

_ROW, _MARGINS, _LEAST = 34, 110, 380
"""Heights in pixels; the page keeps room for the least."""


def short_label(name: JSON, longest: int = 26) -> str:
    """A name, cut to the number of characters that a phone has room for."""
    text = str(name)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def height_of(rows: int) -> int:
    """The height in pixels of a chart with so many rows."""
    return max(_LEAST, _MARGINS + _ROW * rows)
