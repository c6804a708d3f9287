"""A record by its id and its axes, as gates and claims write it: `fvu.pooled[sae=mid]`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.contract import JSON

ID = r"[A-Za-z_][\w.-]*(?:@\d+)?"
"""A regular expression for an id, with or without a version."""
AXES = r"\[[^\]]*\]"
"""One for axes in brackets."""


@dataclass(frozen=True)
class Term:
    """What a record must be to fit: its id, and the axes that are named; others may be anything."""

    id: str
    """With or without a version."""
    axes: Mapping[str, str]

    def fits(self, axes: Mapping[str, JSON]) -> bool:
        """Whether these axes have all that are named."""
        return all(key in axes and same(axes[key], value) for key, value in self.axes.items())


def read_term(text: str, id: str, axes: str | None) -> Term:
    """The term of these parts of a condition; `text` is the whole of it, for messages.

    ValueError says what is wrong with it, in words.
    """
    found: dict[str, str] = {}
    for part in (axes or "").strip("[]").split(","):
        key, equals, value = part.partition("=")
        if not part.strip():
            continue
        if not equals or not key.strip() or not value.strip():
            raise ValueError(f"{text!r}: {part.strip()!r} is no axis. Write axis=value")
        if key.strip() in found:
            raise ValueError(f"{text!r}: the axis {key.strip()} stands there twice")
        found[key.strip()] = value.strip().strip("\"'")
    return Term(id, found)


def read_limit(text: str, limit: str) -> float:
    """The number at the end of a condition; ValueError where it is none."""
    try:
        number = float(limit)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise ValueError(f"{text!r}: {limit!r} is no number to compare with")
    return number


def same(axis: JSON, written: str) -> bool:
    """Whether an axis has the value that a condition writes: as text, or as a number."""
    if str(axis) == written or (isinstance(axis, bool) and str(axis).lower() == written.lower()):
        return True
    try:
        return not isinstance(axis, (bool, str, type(None))) and axis == float(written)
    except ValueError:
        return False
