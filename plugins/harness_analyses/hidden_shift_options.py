"""What a task may write for `hidden_shift`. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.contract import AnalysisOptions, PairRef


class HiddenShift(AnalysisOptions):
    """Options of `hidden_shift`."""

    pairs: Annotated[tuple[PairRef, ...], Field(min_length=1)] | None = None
    """The pairs that are looked at; all that were measured, without it."""
    cosine: float = Field(0.95, ge=-1, le=1)
    """A dense cosine of at least this looks as if nothing had changed."""
    overlap: float = Field(0.5, ge=0, le=1)
    """A sparse overlap below this says that something has."""
    l1: float = Field(0.3, ge=0, le=1)
    """An L1 divergence above this is told in the verdict; it does not decide."""
