"""How a check says which law is broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_missed: ContextVar[dict[str, str] | None] = ContextVar("_missed", default=None)
_seed: ContextVar[int] = ContextVar("_seed", default=0)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """A block in which checks draw with another seed: `harness plugins check --seed`."""
    token = _seed.set(seed)
    try:
        yield
    finally:
        _seed.reset(token)


def drawing(seed: int = 0) -> int:
    """The seed that a check draws with, from that which its caller gave."""
    return seed + _seed.get()


@contextmanager
def missed_laws() -> Iterator[dict[str, str]]:
    """Collects the laws that a check in the block had nothing to try on: by name, why."""
    missed: dict[str, str] = {}
    before = _missed.set(missed)
    try:
        yield missed
    finally:
        _missed.reset(before)


def untried(why: str, *laws: str) -> None:
    """Says that a check had nothing to try some of its laws on, and what it would take."""
    missed = _missed.get()
    if missed is not None:
        missed |= dict.fromkeys(laws, why)


def holds(kept: bool, what: str) -> None:
    """Raises AssertionError, which says `what`, where a law is not kept."""
    if not kept:
        raise AssertionError(what)


def law(kept: bool, name: str, what: str) -> None:
    """Raises AssertionError, which names the law and what was found, where it is not kept."""
    holds(kept, f"law broken: {name}: {what}")


@contextmanager
def raises_nothing(name: str) -> Iterator[None]:
    """A block in which any error breaks the law; AssertionErrors are those of other laws."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"law broken: {name}: {error!r}") from error
