"""The figures of an estimate: work, memory, and the cost as a whole with what it assumes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal, Protocol

from harness.planning.cost.downloads import Download
from harness.planning.cost.network import Network
from harness.planning.counts import Counts


@dataclass(frozen=True)
class Load:
    """What a model's blocks and its output compute: what a probed machine is timed on."""

    positions: float = 0.0
    """Token positions, padding included; each counts once for every block that it goes through."""
    pairs: float = 0.0
    """Pairs of a position and one that it looks at; likewise."""
    ends: float = 0.0
    """Positions whose next token is asked for."""
    kept: float = 0.0
    """Pairs of a new token and one whose keys and values are kept; once for every block."""
    steps: int = 0
    """Steps of completions, beside the blocks: a choice among all tokens for each row."""

    def through(self, blocks: int, times: float = 1.0) -> Load:
        """The same through so many blocks, so many times."""
        return Load(
            self.positions * blocks * times,
            self.pairs * blocks * times,
            self.ends * times,
            self.kept * blocks * times,
            self.steps,
        )

    def __add__(self, other: Load) -> Load:
        return Load(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


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
    """Operations of the SAEs' encoders on its activations: 2·d_in·d_sae for each token. They are
    float32, whatever the model computes in."""
    number_bytes: int = 4
    encodes: Mapping[str, int] = field(default_factory=dict)
    """By SAE, the tokens that it encodes of this model's activations."""
    at_most: frozenset[str] = frozenset()
    """The SAEs that may encode fewer: what a filter lets through, only the activations tell."""
    encoders: float = 0.0
    """Bytes of encoders' weights that are read from memory."""
    latents: float = 0.0
    """Numbers that encoders give before the active ones are picked: latents, for each token."""
    updates: int = 0
    """How often some job adds a batch to what it counts."""
    asked: int = 0
    """How often a benchmark is asked as a whole: once for each arm."""
    jobs: int = 0
    """How many jobs these are: each is started, finished, and gives intervals."""
    values: float = 0.0
    """Numbers of activations in these batches, for each job that reads them."""
    load: Load = Load()

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
            encodes=_added(self.encodes, other.encodes),
            at_most=self.at_most | other.at_most,
            encoders=self.encoders + other.encoders,
            latents=self.latents + other.latents,
            updates=self.updates + other.updates,
            asked=self.asked + other.asked,
            jobs=self.jobs + other.jobs,
            values=self.values + other.values,
            load=self.load + other.load,
        )


def _added(left: Mapping[str, int], right: Mapping[str, int]) -> Mapping[str, int]:
    return {name: left.get(name, 0) + right.get(name, 0) for name in (*left, *right)}


class Clock(Protocol):
    """A machine that says how long work takes there."""

    def seconds_of(self, work: Work) -> float:
        """Seconds that the work takes; nan where its operations are unknown."""


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


Told = Literal["an earlier run", "expect", "nothing"]
"""What tells how long completions are."""


@dataclass(frozen=True)
class Cost:
    """An estimate, to be held against the `usage` that a run's provenance reports.

    Prompts, tokens and forwards of passes are exact where prompts could be counted, and so is what
    SAEs encode, unless a filter decides it (`Work.at_most`); for a run that finds nothing of it in
    the cache. Completions
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
    lengths: Mapping[str, Told]
    """By experiment with completions, what tells how long these are."""
    unknown: tuple[str, ...]
    """What would have to be known: the numbers are sums without it."""
    notes: tuple[str, ...]
    """What was assumed."""
    cuts: tuple[Cut, ...] = ()
    """The same work as it is cut into parts, in the order of the run."""

    networks: Mapping[str, Network] = field(default_factory=dict)
    """The sizes of the models."""

    @property
    def bound(self) -> bool:
        """Whether lengths of some completions are upper bounds: nothing tells them."""
        return "nothing" in self.lengths.values()

    @property
    def encodes(self) -> Mapping[str, int]:
        """By SAE, the tokens that it encodes in all stages."""
        found: dict[str, int] = {}
        for work in self.work:
            for sae, tokens in work.encodes.items():
                found[sae] = found.get(sae, 0) + tokens
        return found

    @property
    def counts(self) -> Counts:
        """The sum over all models and stages."""
        return sum((work.counts for work in self.work), Counts())

    @property
    def flops(self) -> float:
        """Operations of forwards and encoders, as far as they are known."""
        parts = (part for work in self.work for part in (work.flops, work.encoding))
        return sum((part for part in parts if not math.isnan(part)), 0.0)

    def seconds(self, device: Clock) -> float | None:
        """Seconds that the work takes on a machine; None where not all of it is known."""
        return self.seconds_of(self.work, device)

    def seconds_of(self, some: Sequence[Work], device: Clock) -> float | None:
        """Likewise for some of the work."""
        if self.unknown or any(math.isnan(work.operations) for work in some):
            return None
        return sum(map(device.seconds_of, some))
