"""The styles of series: colour, marker and dash all differ, so that a reader needs no colours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle

_COLOURS = ("#0072B2", "#D55E00", "#008F68", "#AA4499", "#997000", "#4477CC", "#B5505A")
"""At least 3:1 against white and against the dark page; after Okabe, Ito and Tol."""
_MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
GREY = "#767676"
"""For what is drawn for comparison only."""
UNEDITED = "none"
"""What the contract calls the arm without an edit."""


@dataclass(frozen=True)
class Style:
    """Colour, marker and dash of one series."""

    colour: str
    marker: str
    dash: str

    def shade(self) -> str:
        """The colour, light enough to lie under others."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},0.13)"


def distinct_styles(labels: Iterable[str]) -> dict[str, Style]:
    """A style for each label, by the order of the labels; the un-edited arm is always grey."""
    once = dict.fromkeys(labels)
    found = {UNEDITED: Style(GREY, "circle-open", "dot")} if UNEDITED in once else {}
    edited = [label for label in once if label != UNEDITED]
    looks = zip(cycle(_COLOURS), cycle(_MARKERS), cycle(_DASHES), strict=True)
    return found | {label: Style(*look) for label, look in zip(edited, looks, strict=False)}
