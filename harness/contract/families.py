"""Numbers that a task asks at once, and which of them are discoveries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dependence = Literal["positive", "any"]
"""How the tests of a family may hang together: so that one small p makes others likelier (Benjamini
and Hochberg), or in any way (Benjamini and Yekutieli)."""


@dataclass(frozen=True)
class FamilyOutcome:
    """One family of a task, held against what the run found. All text is hostile.

    Its members are rows of the table `families`.
    """

    name: str
    """Its name in the task: `[families.NAME]`."""
    text: str
    """What is asked, in words."""
    of: tuple[str, ...]
    """Which numbers it has, as the task writes them."""
    rate: float
    """Of all discoveries, at most this share is false on average."""
    dependence: Dependence = "positive"
    tested: int = 0
    """How many numbers were asked, m; those without a p count, too."""
    discoveries: int | None = None
    """How many of them are discoveries; None where `why` says why nothing is known of it."""
    small: int | None = None
    """How many have a raw p up to `rate`."""
    expected: float | None = None
    """How many would have, at most, if there were nothing to find: `rate * tested`."""
    largest: float | None = None
    """The largest raw p of a discovery."""
    without_p: int = 0
    """How many have no p: they count as p = 1."""
    out_of_reach: int = 0
    """How many could not have been discoveries, whatever is true: their tests are made of too few
    draws, and `reason` says of how few."""
    reason: str | None = None
    listed: int = 0
    """How many of them the table `families` lists: those with the smallest p."""
    methods: tuple[str, ...] = ()
    """How each p was made, in words."""
    against: str | None = None
    """The control that arms are held against, as the task names it."""
    why: str | None = None
    """Why it has no discoveries, not even none."""
    source: str | None = None
    """Where the paper says so."""
    written: str | None = None
    """When a run first knew it, in UTC: `2026-11-28T16:04:51Z`."""
    late: bool = False
    """Whether it was written, or changed, after the run had been measured."""
