"""Families in the task language: many numbers that are asked at once."""

from __future__ import annotations

from pydantic import Field, model_validator

from harness.contract import Dependence
from harness.task.tables import Spec


class FamilySpec(Spec):
    """Numbers that are asked at once: `[families.NAME]`. Each has a p, and the discoveries among
    them are chosen so that few of them are false."""

    text: str = Field(min_length=1)
    """What is asked, in words."""
    of: str | tuple[str, ...]
    """`id[axis=value, …]`, or several: every number that one of them fits is in the family."""
    against: str | None = None
    """A direction of the same experiment that is a control, or "none" for the un-edited arm: then
    the p of each arm is made from the prompts that both answered. Without it, each number has
    a p of its own, against its null."""
    rate: float = Field(0.05, gt=0, le=0.5)
    """Of all discoveries, at most this share is false on average."""
    dependence: Dependence = "positive"
    """How the tests hang together. "positive": not at all, or so that one small p makes others
    likelier (Benjamini and Hochberg). "any": in any way (Benjamini and Yekutieli)."""
    source: str | None = None
    """The place in the paper that says so."""
    written: str | None = None
    """When a run first knew it; a run writes this, and goes by its own memory, not by this."""

    @model_validator(mode="after")
    def _is_a_family(self) -> FamilySpec:
        from harness.task.families import parse

        parse("", self.text, self.numbers)
        return self

    @property
    def numbers(self) -> tuple[str, ...]:
        """What `of` names, one or several."""
        return (self.of,) if isinstance(self.of, str) else self.of
