"""The conditions under which flips are counted, and the vectors that they add."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from harness.contract import JSON, Batch
from harness_statistics.flip_rate.options import FlipRateOptions


@dataclass(frozen=True)
class Condition:
    """One h′ of the statistic: the right activations, or the left ones with something added."""

    injection: str
    """`none` takes the right ones; the others are injections into the left ones."""
    k: int | None = None
    draw: int | None = None

    @property
    def axes(self) -> dict[str, JSON]:
        """The axes of its records."""
        axes: dict[str, JSON] = {"injection": self.injection, "k": self.k, "draw": self.draw}
        return {name: value for name, value in axes.items() if value is not None}

    @property
    def label(self) -> str:
        """`none`, `pcs.3`, `random.3.0`: its part of an array's name."""
        return ".".join(str(value) for value in self.axes.values())


NONE = Condition("none")


def conditions(given: FlipRateOptions, rank: int | None = None) -> tuple[Condition, ...]:
    """All conditions, or those that `rank` components allow; always in the same order."""
    if given.pcs is None or rank == 0:
        return (NONE,)
    ranks = [k for k in given.ranks if rank is None or k <= rank]
    found = [NONE]
    for injection in ("pcs", "constant"):
        if injection in given.injections:
            found += [Condition(injection, k) for k in ranks]
    if "random" in given.injections:
        found += [Condition("random", k, draw) for draw in range(given.draws) for k in ranks]
    return tuple(found)


def along(
    delta: Float[Tensor, "tokens d"], basis: Float[Tensor, "k d"]
) -> Float[Tensor, "tokens d"]:
    """(Δh·V_k) V_kᵀ with orthonormal rows v_i: the part of each token's change in their span."""
    return (delta @ basis.T) @ basis


def plus(x: Float[Tensor, "tokens d"], added: Float[Tensor, "*tokens d"]) -> Tensor:
    """x + added in the wider of both types, returned in x's; adding 0 changes no bit."""
    # x + (−0.0) is x bit for bit, but −0.0 + 0.0 is 0.0.
    return (x.to(added.dtype) + added.where(added != 0, -0.0)).to(x.dtype)


def wide(x: Tensor) -> Tensor:
    """x in float64; in float32 on Apple's GPU, which has no float64."""
    return x.detach().to(torch.float32 if x.device.type == "mps" else torch.float64)


def unit_noise(
    batch: Batch, rows: Int[Tensor, " rows"], width: int, seed: int, draw: int
) -> Float64[Tensor, "rows width"]:
    """A random direction of length 1 for each of some tokens, uniform on the sphere.

    From the seed, the draw, the token's document and its place there alone: the same in any split
    and order. Each document has a generator of its own, and position p takes its p-th vector.
    """
    owner, position = (of.cpu()[rows.cpu()].numpy() for of in (batch.document, batch.position))
    noise = np.empty((len(owner), width))
    for index in np.unique(owner):
        mine = owner == index
        generator = _generator(seed, draw, batch.documents[index])
        noise[mine] = generator.standard_normal((position[mine].max() + 1, width))[position[mine]]
    return torch.from_numpy(noise / np.linalg.norm(noise, axis=1, keepdims=True))


def _generator(seed: int, draw: int, document: str) -> np.random.Generator:
    key = hashlib.sha256(f"{seed}\0{draw}\0{document}".encode()).digest()
    return np.random.default_rng(np.frombuffer(key, dtype="<u4"))
