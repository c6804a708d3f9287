"""The figures of an estimate: work, memory, and the cost as a whole with what it assumes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.planning.cost.devices import Device
from harness.planning.cost.downloads import Download
from harness.planning.counts import Counts


@dataclass(frozen=True)
class Work:
    """What one model does in one stage. Operations are nan where they are unknown."""

    stage: str
    model: str
    counts: Counts
    flops: float
    """Operations of its forwards."""
    moved: float
    """Bytes of weights, and of keys and values, that are read from memory."""
    blocks: int
    """Runs of a block."""
    encoding: float = 0.0
    """Operations of the SAEs' encoders on its activations: 2·d_in·d_sae for each token."""
    number_bytes: int = 4

    @property
    def operations(self) -> float:
        """Those of forwards and encoders together."""
        return self.flops + self.encoding

    def __add__(self, other: Work) -> Work:
        return replace(
            self,
            counts=self.counts + other.counts,
            flops=self.flops + other.flops,
            moved=self.moved + other.moved,
            blocks=self.blocks + other.blocks,
            encoding=self.encoding + other.encoding,
        )


AROUND = 1000
"""Bytes of a part and of its reply beside the numbers and the texts in them."""


@dataclass(frozen=True)
class Cut:
    """Work that is done part by part, all parts before anything else goes on."""

    stage: str
    parts: int
    """How many parts of about equal work."""
    work: tuple[Work, ...]
    """All parts together, by model."""
    sent: int = 0
    """Bytes that all parts bring to the workers, however many they are."""
    reply: int = 0
    """Bytes that come back for each part, however large it is."""
    returned: int = 0
    """Bytes that come back for all parts, however many they are."""

    @property
    def travels(self) -> tuple[int, int]:
        """Bytes to the workers and from them."""
        around = AROUND * self.parts
        return self.sent + around, self.reply * self.parts + self.returned + around


@dataclass(frozen=True)
class Memory:
    """Bytes of memory, beside those of a process that has imported torch and transformers."""

    weights: Mapping[str, int]
    saes: Mapping[str, int]
    work: int
    """Those of the largest batch: activations, products of encoders, keys and values."""
    stage: str
    """The stage of that batch."""

    @property
    def total(self) -> int:
        """Everything that is in memory at once: models and SAEs stay once they are loaded."""
        return sum(self.weights.values()) + sum(self.saes.values()) + self.work


@dataclass(frozen=True)
class Cost:
    """An estimate, to be held against the `usage` that a run's provenance reports.

    Prompts, tokens and forwards of passes are exact where prompts could be counted. Completions
    end when they like: unless an earlier run or the experiment's `expect` tells how long they are,
    they are taken to reach `max_new_tokens`. `counts.completion_tokens` is then an upper bound,
    often twice what is written. `counts.positions`, the token positions computed, is what cost
    follows and what is to be compared: a batch runs until its last completion has ended, so that a
    batch of hundreds nearly always goes to the limit, however early most of its rows ended. Arms
    that turn out to be undefined are planned and not run. Verdicts of a model are an upper bound in
    the same way: equal completions of a prompt are judged once.
    """

    work: tuple[Work, ...]
    memory: Memory
    disk: int
    """Bytes of the run's own folder, roughly."""
    downloads: tuple[Download, ...]
    bound: bool
    """Whether lengths of completions are upper bounds: neither `expect` nor a run tells them."""
    unknown: tuple[str, ...]
    """What would have to be known: the numbers are sums without it."""
    notes: tuple[str, ...]
    """What was assumed."""
    cuts: tuple[Cut, ...] = ()
    """The same work as it is cut into parts, in the order of the run."""

    @property
    def counts(self) -> Counts:
        """The sum over all models and stages."""
        return sum((work.counts for work in self.work), Counts())

    @property
    def flops(self) -> float:
        """Operations of forwards and encoders, as far as they are known."""
        parts = (part for work in self.work for part in (work.flops, work.encoding))
        return sum((part for part in parts if not math.isnan(part)), 0.0)

    def seconds(self, device: Device) -> float | None:
        """Seconds that the work takes on a machine; None where not all of it is known."""
        return self.seconds_of(self.work, device)

    def seconds_of(self, some: Sequence[Work], device: Device) -> float | None:
        """Likewise for some of the work."""
        if self.unknown or any(math.isnan(work.operations) for work in some):
            return None
        return sum(
            device.seconds(work.operations, work.moved, work.blocks, work.number_bytes)
            for work in some
        )
