"""The parts of one call: who gets which next, and which have ended too many workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.errors import MachineError

_ENOUGH = 3
"""A part that so many workers died of is given to no other one."""


@dataclass
class Part:
    """One part, while it is not done."""

    number: int
    content: bytes
    deaths: list[str] = field(default_factory=list)
    """Why the workers ended that were at work on it."""


class Parts:
    """Parts in their order, taken one by one; what came back without a reply goes first."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._new = enumerate(parts)
        self._back: deque[Part] = deque()

    @property
    def left(self) -> bool:
        """Whether there is a next part; takes it from where parts come from."""
        if not self._back and (found := self.take()) is not None:
            self.give_back(found)
        return bool(self._back)

    def take(self) -> Part | None:
        """The next part; None when there is none, unless one is given back later."""
        if self._back:
            return self._back.popleft()
        found = next(self._new, None)
        return None if found is None else Part(*found)

    def give_back(self, part: Part) -> None:
        """Nobody has worked on it: it is the next one again."""
        self._back.appendleft(part)

    def lost(self, part: Part, why: str, advice: str = "") -> None:
        """A worker ended while it worked on this part. MachineError where that is too often."""
        part.deaths.append(why)
        if len(part.deaths) < _ENOUGH:
            self.give_back(part)
            return
        times = f"{_ENOUGH} workers ended over part {part.number} of one call, the last one: {why}"
        raise MachineError(
            f"executor ray: {times}.{advice} What was done is kept: the same command continues."
        )
