"""What the laws are tried on, by `harness plugins check`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.contract import (
    Direction,
    Example,
    Latents,
    Model,
    ModelFacts,
    Prompt,
    SaeFacts,
    SaeInput,
    Site,
    Tokens,
)
from harness.testing import check_intervention, organism, small_sae
from harness_interventions.ablation import Ablation
from harness_interventions.addition import Addition
from harness_interventions.affine_editing import AffineEditing
from harness_interventions.concept_erasure import ConceptErasure
from harness_interventions.conditional_addition import ConditionalAddition
from harness_interventions.feature_zeroing import FeatureZeroing
from harness_interventions.latent_clamp import LatentClamp
from harness_interventions.latent_swap import LatentSwap
from harness_interventions.options import (
    AblationOptions,
    AdditionOptions,
    AffineEditingOptions,
    ConceptErasureOptions,
    ConditionalAdditionOptions,
    FeatureZeroingOptions,
    LatentClampOptions,
    LatentSwapOptions,
    PcInjectionOptions,
    ProjectionOptions,
)
from harness_interventions.pc_injection import PcInjection
from harness_interventions.projection import Projection
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions

FACTS = ModelFacts(layers=6, d_model=128)
"""Those of the organism, on which each intervention is also run."""
SITE = Site("resid_post", 3)
SAE = small_sae(128, 64, SITE)
NEVER, ALWAYS = 1e30, -1.0
"""Thresholds above which no latent is, and above which each is, also an inactive one."""


def ablation(folder: Path) -> Iterator[partial[None]]:
    """Both modes."""
    for mode in ("strict", "arditi"):
        yield _case(Ablation(AblationOptions(mode=mode)), _direction())


def addition(folder: Path) -> Iterator[partial[None]]:
    """At both lengths; coefficient 0 changes nothing."""
    for scale in ("as_fitted", "reference"):
        one, none = (Addition(AdditionOptions(coefficient=c, scale=scale)) for c in (-1.5, 0))
        yield _case(one, _direction(), identity=none)


def pc_injection(folder: Path) -> Iterator[partial[None]]:
    """One component and three, the same everywhere and by token; alpha 0 changes nothing."""
    beside = torch.randn(3, 5, 128, generator=torch.Generator().manual_seed(0))
    for tuned, other in ((None, None), ("tuned", beside)):
        one, none = (PcInjection(PcInjectionOptions(alpha=a, tuned=tuned)) for a in (2, 0))
        for rank in (1, 3):
            given = _direction(rank)
            yield _case(one, given, identity=none, beside=other)


def feature_zeroing(folder: Path) -> Iterator[partial[None]]:
    """A third of the latents of a small SAE."""
    zeroing = FeatureZeroing(FeatureZeroingOptions())
    yield _case(zeroing, _features(), sae=SAE)


def conditional_addition(folder: Path) -> Iterator[partial[None]]:
    """A gate that opens somewhere, one that never does, and one that always does."""

    def made(threshold: float, coefficient: float = -1.5) -> ConditionalAddition:
        options = {"threshold": threshold, "coefficient": coefficient}
        return ConditionalAddition(ConditionalAdditionOptions(**options))

    yield _case(
        made(0.5),
        _features(),
        identity=made(0.5, 0.0),
        sae=SAE,
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
        yield _case(one, _features(), identity=none, sae=SAE)


def latent_swap(folder: Path) -> Iterator[partial[None]]:
    """Both ways, of an SAE of one model and of a crosscoder; strength 0 changes nothing."""
    beside = torch.randn(3, 5, 128, generator=torch.Generator().manual_seed(0))
    for sae in (SAE, _Joined()):
        for mode, parts in (("only", ("bias", "error")), ("without", ())):
            given = {"other": "base", "mode": mode, "parts": parts}
            one, none = (LatentSwap(LatentSwapOptions(**given, strength=s)) for s in (1, 0))
            yield _case(one, _features(), identity=none, sae=sae, beside=beside)


def affine_editing(folder: Path) -> Iterator[partial[None]]:
    """To the reference point, and a direction beyond it."""
    for coefficient in (0, 1.5):
        one = AffineEditing(AffineEditingOptions(coefficient=coefficient))
        yield _case(one, _direction())


def concept_erasure(folder: Path) -> Iterator[partial[None]]:
    """Read with the vector itself, and with readers that are none of two vectors; strength 0
    changes nothing."""
    one, none = (ConceptErasure(ConceptErasureOptions(strength=s)) for s in (1, 0))
    yield _case(one, _direction(), identity=none)
    two = _direction(2)
    beside = 0.3 * np.random.default_rng(1).normal(size=two.vectors.shape)
    readers = np.linalg.solve((two.vectors + beside) @ two.vectors.T, two.vectors + beside)
    yield _case(one, replace(two, readers=readers), identity=none)


def projection(folder: Path) -> Iterator[partial[None]]:
    """Out of one dimension and onto three; strength 0 changes nothing."""
    for mode, rank in (("out", 1), ("onto", 3)):
        one, none = (Projection(ProjectionOptions(mode=mode, strength=s)) for s in (1, 0))
        yield _case(one, _direction(rank), identity=none)


class _Joined:
    """A small crosscoder: positive coordinates of both sides, with a row for each."""

    notes: tuple[str, ...] = ()
    fingerprint = "small crosscoder"

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self._encoder = torch.randn(256, 64, generator=generator) / 16
        self._decoder = torch.randn(64, 256, generator=generator)
        inputs = (SaeInput("left", width=128), SaeInput("right", width=128))
        self.facts = SaeFacts("crosscoder", 256, 64, SITE, inputs=inputs)

    def encode(self, x: Tensor) -> Latents:
        return Latents.from_dense((x.float() @ self._encoder).relu())

    def reconstruct(self, latents: Latents) -> Tensor:
        return latents.dense() @ self._decoder + 1

    def rows(self, indices: Tensor) -> Tensor:
        return self._decoder[indices]


@cache
def _loaded() -> tuple[Model, tuple[Tokens, ...]]:
    """The organism's base model, and two prompts of different lengths."""
    model = TransformersBackend(TransformersOptions(path=str(organism() / "base"))).load()
    examples = [Example(str(n), text) for n, text in enumerate(("A river", "It rises in May."))]
    return model, tuple(model.render(examples, Prompt()))


def _case(one: Any, direction: Direction, **more: Any) -> partial[None]:
    model, tokens = _loaded()
    return partial(check_intervention, one, direction, FACTS, model=model, tokens=tokens, **more)


def _direction(rank: int = 1) -> Direction:
    """Random vectors from a random origin; what they imitate is longer."""
    vectors, origin = (np.random.default_rng(0).normal(size=size) for size in ((rank, 128), 128))
    return Direction(SITE, vectors, reference_norm=7.0, origin=origin)


def _features() -> Direction:
    """A direction made of every third latent."""
    features = tuple(range(0, 64, 3))
    return replace(_direction(), sae="small", features=features, weights=(1.0,) * len(features))
