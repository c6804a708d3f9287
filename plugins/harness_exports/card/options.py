"""Options of `card`. Imports nothing heavy."""

from __future__ import annotations

from pydantic import Field

from harness.contract import ExportOptions


class DriftCardOptions(ExportOptions):
    """Options of `card`."""

    numbers: int = Field(30, ge=1, le=1000)
    """How many numbers of pairs are listed with their n and null, the most telling ones first; how
    many more there are is said."""
    task: bool = True
    """Whether the task stands at the end in full, with the last part of each path."""
    front_matter: bool = True
    """Whether it begins with what Hugging Face reads of a model card. Without it, the card can be
    pasted into a README that has its own."""
