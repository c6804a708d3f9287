"""How series look: told apart by colour, marker and dash, so that no one is needed alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_COLOURS = ("#0072B2", "#D55E00", "#008F68", "#AA4499", "#997000", "#4477CC", "#B5505A")
"""At least 3:1 against white and against the dark page; after Okabe, Ito and Tol."""
_MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_QUIET = "#767676"
UNEDITED = "none"
"""What the contract calls the arm without an edit."""


@dataclass(frozen=True)
class Look:
    """Colour, marker and dash of one series."""

    colour: str
    marker: str
    dash: str

    def shade(self) -> str:
        """The colour, light enough to lie under others."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},0.13)"


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """A look for each label; the same in every figure that is given the same labels."""
    found = {}
    for label in dict.fromkeys(labels):
        if label == UNEDITED:
            found[label] = Look(_QUIET, "circle-open", "dot")
            continue
        index = len([known for known in found if known != UNEDITED])
        found[label] = Look(
            _COLOURS[index % len(_COLOURS)],
            _MARKERS[index % len(_MARKERS)],
            _DASHES[index % len(_DASHES)],
        )
    return found
