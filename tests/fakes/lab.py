"""What the tests see of the fakes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.contract import (
    Batch,
    Event,
    Findings,
    Inputs,
)

if TYPE_CHECKING:
    from torch import Tensor

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
    judged: list[str] = field(default_factory=list)
    """The completions that judges were shown which are models."""
    chunks: list[int] = field(default_factory=list)
    """How many each time."""
    crash_at_chunk: int | None = None
    """The chunk before which `crash` is raised."""
    forwards: int = 0
    """Forward passes of all models."""
    crash_at_forward: int | None = None
    """The forward pass before which `crash` is raised."""
    calibrated: list[Tensor] = field(default_factory=list)
    """What SAEs chose their scale by."""
    looked_up: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    """The features that sources of labels were asked for, with their SAE."""
    findings: list[Findings] = field(default_factory=list)
    """What analyses and sources of labels were given."""
    seen: list[Event] = field(default_factory=list)
    """What observers have seen."""
    parts: list[tuple[str, int]] = field(default_factory=list)
    """The parts that workers have computed, each with its worker."""
    crews: int = 0
    """How often workers were started."""
    threads: set[str] = field(default_factory=set)
    """The threads in which they did."""
    release: threading.Event = field(default_factory=threading.Event)
    """Lets an observer go on that hangs."""

    def forward(self) -> None:
        """Counts a forward pass, or raises `crash` instead."""
        if self.forwards + 1 == self.crash_at_forward:
            raise self.crash
        self.forwards += 1

    def clear(self) -> None:
        self.release.set()
        self.__dict__.update(Lab().__dict__)

    @property
    def generated(self) -> list[tuple[str, str]]:
        return [row for batch in self.generations for row in batch]


LAB = Lab()
