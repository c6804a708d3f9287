"""What a task says that it expects before it runs, and how that came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ClaimStatus = Literal["supported", "contradicted", "undecided", "unmeasured"]


@dataclass(frozen=True)
class ClaimOutcome:
    """One claim of a task, held against what the run found. All text is hostile."""

    name: str
    """Its name in the task: `[claims.NAME]`."""
    text: str
    """The claim in words."""
    holds: str
    """Its condition, as the task writes it."""
    status: ClaimStatus
    """`supported` or `contradicted` where the whole 95% interval lies on one side of the bound,
    `undecided` where it spans the bound, `unmeasured` where `why` says what has no number."""
    effect: float | None = None
    """What the left side of the condition came out as."""
    ci: tuple[float, float] | None = None
    """Its 95% interval."""
    bound: float | None = None
    """The number on the right side of the condition."""
    n: int | None = None
    """The fewest prompts, documents or tokens behind one of its records."""
    n_of: str | None = None
    against: str | None = None
    """The control or null that it is held against, as the task names it."""
    control: float | None = None
    """The same number of the control: the mean of its draws."""
    difference: float | None = None
    """`effect - control`."""
    difference_ci: tuple[float, float] | None = None
    more: int | None = None
    """Where undecided: how many more (of `n_of`) would decide it, if the effect is what it is."""
    why: str | None = None
    """Why it is unmeasured, or why no number of prompts would decide it."""
    source: str | None = None
    """Where the paper says so."""
    written: str | None = None
    """When a run first knew it, in UTC: `2026-11-28T16:04:51Z`."""
    late: bool = False
    """Whether it was written, or changed, after the run had been measured."""
    method: str | None = None
    """How `ci` was made."""
    difference_method: str | None = None
    """How `difference_ci` was made."""
