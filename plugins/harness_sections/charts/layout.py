"""How charts are laid out: axes of names and of numbers, cut names, and a height for the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.contract import JSON

_ROW, _MARGINS, _LEAST = 34, 110, 380
"""Heights in pixels; the page keeps room for the least."""


def short_label(name: JSON, longest: int = 26) -> str:
    """A name, cut to the number of characters that a phone has room for."""
    text = str(name)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def name_axis(names: Sequence[JSON]) -> dict[str, Any]:
    """Plotly's layout of an axis at whose places 0, 1, 2, … the names stand."""
    return {"tickvals": list(range(len(names))), "ticktext": list(map(short_label, names))}


def padded(low: float, high: float, share: float, least: float) -> list[float]:
    """The range of an axis with room on both sides: a share of it, `least` where it is a point."""
    room = (high - low) * share or least
    return [low - room, high + room]


def height_of(rows: int) -> int:
    """The height in pixels of a chart with so many rows."""
    return max(_LEAST, _MARGINS + _ROW * rows)
