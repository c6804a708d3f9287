"""The rows of the table of completions: which arm one belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.contract import JSON

_FIELDS = {"experiment", "example", "copy_of", "text", "prompt", "thought", "completion"}
_FIELDS |= {"tokens", "stopped", "unfinished", "verdicts"}
"""The columns of a completion that are no axes of its arm."""
UNFINISHED = "(unfinished: its thought never ended, so there is no answer to judge)"
"""Stands for the answer where there is none."""


def arm_axes(row: Mapping[str, Any]) -> dict[str, JSON]:
    """The axes of the arm that wrote a completion: its direction, and what was varied."""
    return {key: value for key, value in row.items() if key not in _FIELDS}


def answer_of(row: Mapping[str, Any]) -> str:
    """What was written, or that it has no end."""
    return UNFINISHED if row.get("unfinished") else str(row.get("completion", ""))
