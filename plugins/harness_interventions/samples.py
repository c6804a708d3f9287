"""What the laws are tried on, by `harness plugins check`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Direction, Latents, ModelFacts, SaeFacts, Site
from harness.testing import check_intervention
from harness_interventions.ablation import Ablation
from harness_interventions.addition import Addition
from harness_interventions.affine_editing import AffineEditing
from harness_interventions.conditional_addition import ConditionalAddition
from harness_interventions.feature_zeroing import FeatureZeroing
from harness_interventions.latent_clamp import LatentClamp
from harness_interventions.options import (
    AblationOptions,
    AdditionOptions,
    AffineEditingOptions,
    ConditionalAdditionOptions,
    FeatureZeroingOptions,
    LatentClampOptions,
    PcInjectionOptions,
    ProjectionOptions,
)
from harness_interventions.pc_injection import PcInjection
from harness_interventions.projection import Projection

FACTS = ModelFacts(layers=3, d_model=8)
SITE = Site("resid_post", 1)
NEVER, ALWAYS = 1e30, -1.0
"""Thresholds above which no latent is, and above which each is, also an inactive one."""


def ablation(folder: Path) -> Iterator[partial[None]]:
    """Both modes."""
    for mode in ("strict", "arditi"):
        yield partial(check_intervention, Ablation(AblationOptions(mode=mode)), _direction(), FACTS)


def addition(folder: Path) -> Iterator[partial[None]]:
    """At both lengths; coefficient 0 changes nothing."""
    for scale in ("as_fitted", "reference"):
        one, none = (Addition(AdditionOptions(coefficient=c, scale=scale)) for c in (-1.5, 0))
        yield partial(check_intervention, one, _direction(), FACTS, identity=none)


def pc_injection(folder: Path) -> Iterator[partial[None]]:
    """One component and three, the same everywhere and by token; alpha 0 changes nothing."""
    beside = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    for tuned, other in ((None, None), ("tuned", beside)):
        one, none = (PcInjection(PcInjectionOptions(alpha=a, tuned=tuned)) for a in (2, 0))
        for rank in (1, 3):
            given = _direction(rank)
            yield partial(check_intervention, one, given, FACTS, identity=none, beside=other)


def feature_zeroing(folder: Path) -> Iterator[partial[None]]:
    """A third of the latents of a small SAE."""
    zeroing = FeatureZeroing(FeatureZeroingOptions())
    yield partial(check_intervention, zeroing, _features(), FACTS, sae=SmallSae())


def conditional_addition(folder: Path) -> Iterator[partial[None]]:
    """A gate that opens somewhere, one that never does, and one that always does."""

    def made(threshold: float, coefficient: float = -1.5) -> ConditionalAddition:
        options = {"threshold": threshold, "coefficient": coefficient}
        return ConditionalAddition(ConditionalAdditionOptions(**options))

    yield partial(
        check_intervention,
        made(0.5),
        _features(),
        FACTS,
        identity=made(0.5, 0.0),
        sae=SmallSae(),
        closed=made(NEVER),
        opened=(made(ALWAYS), Addition(AdditionOptions(coefficient=-1.5))),
    )


def latent_clamp(folder: Path) -> Iterator[partial[None]]:
    """Everywhere, and where they are active; strength 0 changes nothing."""
    for where in ("everywhere", "active"):
        one, none = (
            LatentClamp(LatentClampOptions(value=2.5, where=where, strength=strength))
            for strength in (1, 0)
        )
        yield partial(check_intervention, one, _features(), FACTS, identity=none, sae=SmallSae())


def affine_editing(folder: Path) -> Iterator[partial[None]]:
    """To the reference point, and a direction beyond it."""
    for coefficient in (0, 1.5):
        one = AffineEditing(AffineEditingOptions(coefficient=coefficient))
        yield partial(check_intervention, one, _direction(), FACTS)


def projection(folder: Path) -> Iterator[partial[None]]:
    """Out of one dimension and onto three; strength 0 changes nothing."""
    for mode, rank in (("out", 1), ("onto", 3)):
        one, none = (Projection(ProjectionOptions(mode=mode, strength=s)) for s in (1, 0))
        yield partial(check_intervention, one, _direction(rank), FACTS, identity=none)


class SmallSae:
    """ReLU(x W − 0.05) with random W: an SAE of 24 latents to try edits on."""

    def __init__(self) -> None:
        self.facts = SaeFacts("relu", 8, 24, SITE)
        self.fingerprint, self.notes = "small", ()
        self._w = torch.randn(8, 24, generator=torch.Generator().manual_seed(0)) / 3

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        """Its latents."""
        return Latents.from_dense((x @ self._w - 0.05).relu())

    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_out"]:
        """Its reconstruction."""
        return latents.dense() @ self._w.T

    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_out"]:
        """Its decoder rows."""
        return self._w.T[indices]


def _direction(rank: int = 1) -> Direction:
    """Random vectors from a random origin; what they imitate is longer."""
    vectors, origin = (np.random.default_rng(0).normal(size=size) for size in ((rank, 8), 8))
    return Direction(SITE, vectors, reference_norm=7.0, origin=origin)


def _features() -> Direction:
    """A direction made of eight latents."""
    features = tuple(range(0, 24, 3))
    return replace(_direction(), sae="small", features=features, weights=(1.0,) * len(features))
