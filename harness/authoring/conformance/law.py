"""A law as it is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Law:
    """A law of a component, and how to try it."""

    name: str
    attempt: Callable[[], Iterable[str]]
    """Raises AssertionError where it is broken, else names the laws that it is made of, if any."""
    skipped: str = ""
    """Why it is not tried at all."""


def holds(kept: bool, what: str) -> tuple[str, ...]:
    """Raises AssertionError where a law is not kept."""
    if not kept:
        raise AssertionError(what)
    return ()
