"""What the tests see of the fakes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.contract import (
    Batch,
    Inputs,
)

if TYPE_CHECKING:
    from fakes.directions import Probe
    from fakes.models import FakeModel, FakeSae


@dataclass
class Lab:
    """What the fakes did, and what they are to do wrong; emptied before every test."""

    models: list[FakeModel] = field(default_factory=list)
    saes: list[FakeSae] = field(default_factory=list)
    batches: list[tuple[object, Batch]] = field(default_factory=list)
    """Every batch that a probe or metric was given, with that object."""
    started: list[Inputs] = field(default_factory=list)
    finished: list[tuple[Probe, Inputs]] = field(default_factory=list)
    generations: list[list[tuple[str, str]]] = field(default_factory=list)
    """For every batch of completions, the (document, arm) of its rows."""
    crash_at: int | None = None
    """The batch of completions before which `crash` is raised."""
    crash: BaseException = field(default_factory=lambda: RuntimeError("the power went off"))

    def clear(self) -> None:
        self.__dict__.update(Lab().__dict__)

    @property
    def generated(self) -> list[tuple[str, str]]:
        return [row for batch in self.generations for row in batch]


LAB = Lab()
