"""The figures of an estimate: work, memory, and the cost as a whole with what it assumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.planning.cost.devices import Device
from harness.planning.cost.downloads import Download
from harness.planning.counts import Counts


@dataclass(frozen=True)
class Work:
    """What one model does in one stage. None stands for what is unknown."""

    stage: str
    model: str
    counts: Counts
    flops: float | None
    """Operations of its forwards."""
    moved: float
    """Bytes of weights, and of keys and values, that are read from memory."""
    blocks: int
    """Runs of a block."""
    encoding: float | None = 0.0
    """Operations of the SAEs' encoders on its activations: 2·d_in·d_sae for each token."""
    number_bytes: int = 4

    def __add__(self, other: Work) -> Work:
        flops = None if None in (self.flops, other.flops) else self.flops + other.flops  # type: ignore[operator]
        known = None not in (self.encoding, other.encoding)
        return replace(
            self,
            counts=self.counts + other.counts,
            flops=flops,
            moved=self.moved + other.moved,
            blocks=self.blocks + other.blocks,
            encoding=self.encoding + other.encoding if known else None,  # type: ignore[operator]
        )


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

    @property
    def counts(self) -> Counts:
        """The sum over all models and stages."""
        return sum((work.counts for work in self.work), Counts())

    @property
    def flops(self) -> float:
        """Operations of forwards and encoders, as far as they are known."""
        return sum((work.flops or 0.0) + (work.encoding or 0.0) for work in self.work)

    def seconds(self, device: Device) -> float | None:
        """Seconds that the work takes on a machine; None where not all of it is known."""
        if any(None in (work.flops, work.encoding) for work in self.work) or self.unknown:
            return None
        return sum(
            device.seconds(
                (work.flops or 0.0) + (work.encoding or 0.0), work.moved, work.blocks,
                work.number_bytes,
            )
            for work in self.work
        )  # fmt: skip
