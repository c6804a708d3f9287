"""What a campaign is: things that are made wrong by chance, tried one by one, and judged."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


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
