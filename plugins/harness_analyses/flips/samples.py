"""What the laws are tried on: flips of three fine-tunes at three layers, by draw of documents."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from harness.contract import Arrays, Findings, Record
from harness.results.replicates import replicate_weights
from harness.testing import check_analysis
from harness_analyses.flips.flip_overlap import FlipOverlap
from harness_analyses.flips.layer_profile import LayerProfile
from harness_analyses.flips.options import (
    FlipOverlapOptions,
    LayerProfileOptions,
    TrajectoryOptions,
)
from harness_analyses.flips.trajectory import Trajectory
from harness_statistics.flip_rate.arrays import Key

FLIPS = {"safety": (60, 30, 10), "maths": (10, 20, 70), "code": (5, 5, 30)}
LAYERS = (2, 4, 5)
WIDTH, DOCUMENTS, TOKENS = 30, 20, 400


def layer_profile(folder: Path) -> Iterator[partial[None]]:
    """Each fine-tune, and one against the others."""
    for group in ((), ("safety",)):
        analysis = LayerProfile(LayerProfileOptions(statistics=("flips",), group=group))
        yield partial(check_analysis, analysis, _findings())


def flip_overlap(folder: Path) -> Iterator[partial[None]]:
    """Of the five latents with most flips."""
    analysis = FlipOverlap(FlipOverlapOptions(statistics=("flips",), top=5))
    yield partial(check_analysis, analysis, _findings())


def trajectory(folder: Path) -> Iterator[partial[None]]:
    """Three checkpoints and one of them without a number."""
    values = {"early": 0.9, "middle": None, "late": 0.5}
    records = [
        Record(
            "cosine.raw@1",
            value,
            100,
            "tokens",
            "cosine",
            ci_why="too few",
            undefined="no token was measured" if value is None else None,
            axes={"pair": pair, "site": "resid_post.4", "checkpoint": 100 * number},
        )
        for number, (pair, value) in enumerate(values.items(), start=1)
    ]
    analysis = Trajectory(TrajectoryOptions(pairs=tuple(values), ids=("cosine.raw@1",)))
    yield partial(check_analysis, analysis, Findings(records=tuple(records)))


def _findings() -> Findings:
    arrays: dict[str, np.ndarray] = {}
    for pair, each in FLIPS.items():
        for layer, flips in zip(LAYERS, each, strict=True):
            arrays |= _kept(pair, layer, flips)
    return Findings(arrays=(Arrays("flips", {}, arrays),))


def _kept(pair: str, layer: int, flips: int) -> dict[str, np.ndarray]:
    """What `flip_rate` keeps: counts by latent, and all flips in each replicate."""
    rng = np.random.default_rng([layer, *map(ord, pair)])
    off_on, on_off = rng.integers(0, 9, (2, WIDTH))
    weights = replicate_weights([str(one) for one in range(DOCUMENTS)], 0)
    share = rng.dirichlet(np.ones(DOCUMENTS))
    values = {
        "flips_off_on": off_on,
        "flips_on_off": on_off,
        "active": on_off + rng.integers(0, 20, WIDTH),
        "replicated_flips": flips * weights @ share,
        "replicated_tokens": TOKENS * weights.mean(1),
        "documents": np.array([DOCUMENTS]),
    }
    key = Key(pair, f"sae{layer}", f"resid_post.{layer}", "none")
    return {key.name(what): value for what, value in values.items()}
