"""Outfits whose workers need no model: `harness.testing.support.clerk`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import pytest

from harness.contract import Crew, Outfit, start_worker
from harness.testing.support.clerk import Done, Errand, clerk, died

MANY = 20_000
"""Parts of which nobody does all: whoever gives them out stops when he has seen what he waits for,
or after a quarter of an hour."""


@dataclass
class Office:
    """An outfit of clerks, and what was said."""

    folder: Path
    said: list[str] = field(default_factory=list)

    @property
    def notes(self) -> Path:
        return self.folder / "notes"

    @property
    def outfit(self) -> Outfit:
        self.notes.mkdir(exist_ok=True)
        text = clerk(self.notes)
        return Outfit(text, start_worker(text), self.folder / "executor", self.said.append)

    def died(self) -> dict[str, int]:
        return died(self.notes)

    def everyone(self, crew: Crew) -> set[int]:
        """Gives out parts until all workers have answered, however long they take to start; the
        processes that have."""
        seen: dict[str, int] = {}
        given = (Errand(f"first-{number}", 0.05).part() for number in range(MANY))
        for reply in crew.compute(b"", takewhile(lambda _: len(seen) < crew.size, given)):
            seen[reply.worker] = Done.of(reply.content).process
        assert len(seen) == crew.size
        return set(seen.values())

    def beside(self, crew: Crew, shared: bytes = b"", sleep: float = 0.05, **more: str) -> Done:
        """Gives out parts until a worker beside the head has done one: that one."""
        seen: list[Done] = []
        given = (Errand(f"beside-{n}", sleep, **more).part() for n in range(MANY))  # type: ignore[arg-type]
        for reply in crew.compute(shared, takewhile(lambda _: not seen, given)):
            done = Done.of(reply.content)
            if not done.head:
                seen.append(done)
        return seen[0]

    def done(self, crew: Crew, errands: Sequence[Errand], shared: bytes = b"") -> list[Done]:
        """What came back, by part."""
        replies = list(crew.compute(shared, (errand.part() for errand in errands)))
        assert sorted(reply.part for reply in replies) == list(range(len(errands)))
        found = [Done.of(one.content) for one in sorted(replies, key=lambda reply: reply.part)]
        assert [one.name for one in found] == [errand.name for errand in errands]
        return found


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


@pytest.fixture
def errands() -> Callable[..., list[Errand]]:
    """Some errands that take a while."""

    def errands(number: int, sleep: float = 0.0, name: str = "part", **more: str) -> list[Errand]:
        return [Errand(f"{name}-{n}", sleep, **more) for n in range(number)]  # type: ignore[arg-type]

    return errands
