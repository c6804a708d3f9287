"""The speed of a machine as it was probed for a plan, and how long work takes at that speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.planning.cost.figures import Work
from harness.planning.cost.network import Network


@dataclass(frozen=True)
class Shape:
    """The sizes of a model on which the time of its blocks depends; equal for models of one
    architecture and width."""

    width: int
    attention: int
    kept: int
    """Numbers of keys and values of one block, for each token."""
    hidden: int
    """Width of the layer inside the MLP."""
    matrices: int
    """Weight matrices of the MLP: 2, or 3 of one with a gate."""
    vocabulary: int


def shape_of(net: Network) -> Shape | None:
    """The shape of a model; None of one that is unknown, or runs elsewhere."""
    if not net.width or not net.layers or not net.block > 0:
        return None
    kept = max(2, net.kept // net.layers)
    rest = net.block - net.width * (2 * net.attention + kept)
    matrices = 3 if rest > 2.5 * net.width * net.widest else 2
    hidden = max(1, round(rest / (matrices * net.width)))
    return Shape(net.width, net.attention, kept, hidden, matrices, net.vocabulary)


@dataclass(frozen=True)
class BlockSpeed:
    """Seconds that a model of some shape takes."""

    call: float
    """For a run of a block, whatever it computes: Python and the launches of its operations."""
    position: float
    """For each token position in a block."""
    pair: float
    """For each pair of a position and one that it looks at, in a block."""
    kept: float
    """Likewise while completions are written, where keys and values come from memory."""
    end: float
    """For each position whose next token is asked for."""


@dataclass(frozen=True)
class Speed:
    """What a machine takes for the pieces of which work is made, in seconds."""

    blocks: Mapping[Shape, BlockSpeed]
    product: float
    """For one operation of an encoder's product, in float32."""
    latent: float
    """For each number that an encoder gives, until the active ones are picked."""
    operation: float
    """For a small operation: Python, and a launch."""
    value: float
    """For each number of activations that a metric or a statistic goes through once."""


@dataclass(frozen=True)
class ProbedMachine:
    """The machine of a probe, for the models of a plan."""

    speed: Speed
    shapes: Mapping[str, Shape | None]
    """By model."""

    def seconds_of(self, work: Work) -> float:
        """Seconds that the work takes, as the sum of its pieces: nothing runs beside another."""
        shape, load = self.shapes.get(work.model), work.load
        found = self.speed.blocks.get(shape) if shape is not None else None
        forwards = 0.0
        if found is not None:
            forwards = (
                work.blocks * (found.call + AROUND_A_BLOCK * self.speed.operation)
                + load.positions * found.position
                + load.pairs * found.pair
                + load.kept * found.kept
                + load.ends * found.end
                + load.steps * STEP * self.speed.operation
            )
        encoders = work.encoding * self.speed.product + work.latents * self.speed.latent
        small = work.updates * UPDATE + work.jobs * FINISH + work.asked * ASKING
        values = work.values * PASSES * self.speed.value
        return forwards + encoders + small * self.speed.operation + values


AROUND_A_BLOCK = 30
"""Small operations' worth of Python that transformers and our hooks spend around a block."""
STEP = 300
"""The same around each step of completions: masks, caches, stops, the choice of a token."""
UPDATE = 150
"""The same each time that a job adds a batch to what it counts."""
FINISH = 2500
"""The same when a job ends: 200 draws of its numbers, and their intervals."""
ASKING = 200_000
"""The same each time that lm-eval is asked: it builds requests, checks itself, and scores."""
PASSES = 12
"""How often a job goes through the activations of a batch, in float64."""


def as_plain(speed: Speed) -> dict[str, Any]:
    """A speed as plain values, so that one process can tell another."""
    blocks = [[asdict(shape), asdict(its)] for shape, its in speed.blocks.items()]
    return {**vars(speed), "blocks": blocks}


def from_plain(value: Mapping[str, Any]) -> Speed:
    """The speed that these plain values are."""
    blocks = {Shape(**shape): BlockSpeed(**its) for shape, its in value["blocks"]}
    return Speed(**{**value, "blocks": blocks})
