"""Small worlds in memory: two sets of prompts with activations, latents and a decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from harness.contract import (
    Batch,
    Direction,
    DirectionOptions,
    Inputs,
    ModelFacts,
    SaeFacts,
    Site,
    Undefined,
)
from harness.contract.latents import Latents

SITE = Site("resid_post", 3)


@dataclass
class MemorySide:
    """All tokens in memory; latents are dense and belong to the selected tokens."""

    values: torch.Tensor
    dense: torch.Tensor
    chosen: torch.Tensor

    def x(self, site: Site) -> torch.Tensor:
        assert site.at(6) == SITE
        return self.values

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        assert sae == "mid"
        return Latents.from_dense(self.dense[self.chosen])

    def reconstruction(self, sae: str, site: Site | None = None) -> torch.Tensor:
        raise AssertionError("no direction finder needs a reconstruction")


@dataclass
class MemorySae:
    """Only the decoder."""

    decoder: torch.Tensor
    facts: SaeFacts = field(default_factory=lambda: SaeFacts(site=SITE))
    fingerprint: str = "memory"
    notes: tuple[str, ...] = ()

    def encode(self, x: torch.Tensor) -> Latents:
        raise AssertionError("no direction finder encodes anything by itself")

    def reconstruct(self, latents: Latents) -> torch.Tensor:
        raise AssertionError("no direction finder needs a reconstruction")

    def rows(self, indices: torch.Tensor) -> torch.Tensor:
        return self.decoder[indices]


@dataclass
class Prompts:
    """Documents of one class: for each, activations `[tokens, d]` and latents `[tokens, d_sae]`."""

    x: list[np.ndarray]
    z: list[np.ndarray]

    def batches(
        self, stream: str, sizes: Sequence[int] | None = None, order: Sequence[int] | None = None
    ) -> list[Batch]:
        order = range(len(self.x)) if order is None else order
        sizes = [len(order)] if sizes is None else sizes
        out, position = [], 0
        for size in sizes:
            chosen = list(order[position : position + size])
            position += size
            counts = torch.tensor([len(self.x[i]) for i in chosen], dtype=torch.int64)
            rows = torch.repeat_interleave(torch.arange(len(chosen)), counts)
            everything = torch.arange(len(rows))
            side = MemorySide(
                torch.tensor(np.concatenate([self.x[i] for i in chosen]), dtype=torch.float32),
                torch.tensor(np.concatenate([self.z[i] for i in chosen]), dtype=torch.float32),
                everything,
            )
            names = tuple(f"{stream}-{i}" for i in chosen)
            out.append(
                Batch(
                    stream, names, rows, everything, side, ids=torch.zeros_like(rows), position=rows
                )
            )
        assert position == len(order)
        return out


@dataclass
class World:
    positive: Prompts
    negative: Prompts
    decoder: np.ndarray
    target: Direction

    def batches(self, size: int | None = None) -> list[Batch]:
        out = []
        for stream in ("positive", "negative"):
            prompts: Prompts = getattr(self, stream)
            total = len(prompts.x)
            step = size or total
            sizes = [min(step, total - at) for at in range(0, total, step)]
            out += prompts.batches(stream, sizes)
        return out

    def inputs(self, seed: int = 0, **directions: Direction | Undefined) -> Inputs:
        sae = MemorySae(
            torch.tensor(self.decoder, dtype=torch.float32),
            SaeFacts(site=SITE, d_sae=len(self.decoder), d_in=self.decoder.shape[1]),
        )
        return Inputs(
            directions={"target": self.target, **directions},
            saes={"mid": sae},
            facts={"chat": ModelFacts(layers=6, d_model=self.decoder.shape[1])},
            seed=seed,
        )


def _prompts(rng: np.random.Generator, n: int, most: int, d: int, d_sae: int) -> Prompts:
    lengths = rng.integers(1, most + 1, n)
    tilt = rng.normal(size=d_sae)
    x = [rng.normal(size=(m, d)) for m in lengths]
    z = [np.maximum(rng.normal(size=(m, d_sae)) + tilt - 0.8, 0) for m in lengths]
    # What a pass hands out is float32: the reference must see the same numbers.
    return Prompts([a.astype(np.float32) for a in x], [a.astype(np.float32) for a in z])


@pytest.fixture(scope="session")
def make_world() -> Callable[..., World]:
    def make(
        seed: int = 0, n: tuple[int, int] = (9, 7), tokens: int = 1, d: int = 12, d_sae: int = 40
    ) -> World:
        rng = np.random.default_rng(seed)
        positive, negative = (_prompts(rng, m, tokens, d, d_sae) for m in n)
        decoder = rng.normal(size=(d_sae, d)).astype(np.float32).astype(np.float64)
        target = Direction(SITE, 3 * rng.normal(size=(1, d)))
        return World(positive, negative, decoder, target)

    return make


@dataclass
class Task:
    """What `reads` may ask."""

    directions: Mapping[str, DirectionOptions] = field(default_factory=dict)
    d_sae: int | None = None

    def sae_site(self, sae: str) -> Site:
        return SITE

    def sae_facts(self, sae: str) -> SaeFacts:
        return SaeFacts(d_sae=self.d_sae)

    def direction(self, name: str) -> DirectionOptions:
        return self.directions[name]


@pytest.fixture(scope="session")
def make_task() -> Callable[..., Task]:
    return lambda **directions: Task(directions)


@pytest.fixture(scope="session")
def site() -> Site:
    return SITE


def run(reduction, batches, inputs):
    state = reduction.start(inputs)
    for batch in batches:
        state = reduction.update(state, batch)
    return reduction.finish(state, inputs)


@pytest.fixture(scope="session", name="run")
def _run():
    return run
