"""A law as it is tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Law:
    """A law of a component, and how to try it."""

    name: str
    attempt: Callable[[], Sequence[str] | None]
    """Raises AssertionError where it is broken, else names the laws that it is made of, if any."""
    skipped: str = ""
    """Why it is not tried at all."""
