"""What a campaign is: things that are made wrong by chance, tried one by one, and judged."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Tried:
    """One thing that was tried, and how it ended."""

    group: str
    """What it is counted under, such as `SIGKILL refusal`."""
    end: str
    """How it ended, in a few words that many tries share, such as `same records`."""
    what: str = ""
    """The try itself, for people: what was changed and where."""
    fault: str = ""
    """The promise that was broken, with all that helps to see it; empty where none was."""


Try = Callable[[random.Random], Tried]
"""Makes one thing wrong by this chance alone, tries it, and judges. The same chance is the same
try, in any order, on any machine."""


class Campaign(Protocol):
    """A kind of trial: kills, mutants, files, strings."""

    @property
    def about(self) -> str:
        """One line that says what is tried."""
        ...

    def ready(self, place: Path) -> AbstractContextManager[Try]:
        """Makes what all tries share (undisturbed runs, sound files) in an empty folder or in one
        where it was made before, and gives the try."""
        ...


Tries = Callable[[Sequence[random.Random]], Sequence[Tried]]
"""Makes several tries at once, each by its own chance, and judges each on its own."""


@runtime_checkable
class Shared(Protocol):
    """A campaign whose tries can share what is costly, such as one run with many texts in it."""

    together: int
    """How many share it."""

    def several(self, place: Path) -> AbstractContextManager[Tries]:
        """As `Campaign.ready`, for several tries at once."""
        ...
