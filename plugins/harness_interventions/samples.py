"""What the laws are tried on, by `harness plugins check`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from harness.contract import Direction, ModelFacts, Site
from harness.testing import check_intervention
from harness_interventions.ablation import Ablation
from harness_interventions.addition import Addition
from harness_interventions.options import AblationOptions, AdditionOptions, PcInjectionOptions
from harness_interventions.pc_injection import PcInjection

FACTS = ModelFacts(layers=3, d_model=8)


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
    """One component and three; alpha 0 changes nothing."""
    one, none = (PcInjection(PcInjectionOptions(alpha=alpha)) for alpha in (2, 0))
    for rank in (1, 3):
        yield partial(check_intervention, one, _direction(rank), FACTS, identity=none)


def _direction(rank: int = 1) -> Direction:
    """Random vectors; what they imitate is longer."""
    vectors = np.random.default_rng(0).normal(size=(rank, 8))
    return Direction(Site("resid_post", 1), vectors, reference_norm=7.0)
