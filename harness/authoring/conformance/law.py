"""A law as it is tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


class NotTried(Exception):
    """There is nothing to try a law on; the text says why, and how to change that."""


@dataclass(frozen=True)
class Part:
    """A law of which a larger one is made, after it was tried."""

    name: str
    untried: str = ""
    """Why there was nothing to try it on; empty where it was kept."""


@dataclass(frozen=True)
class Law:
    """A law of a component, and how to try it."""

    name: str
    attempt: Callable[[], Sequence[Part] | None]
    """Raises AssertionError where it is broken and NotTried where there is nothing to try it on,
    else gives the laws that it is made of, if any."""
