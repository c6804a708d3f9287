"""What the laws are tried on, by `harness plugins check`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from harness.contract import Batch, Direction, Inputs, ModelFacts, Site
from harness.testing import check_direction, small_batch, small_sae
from harness_directions import options
from harness_directions.difference_in_means import DifferenceInMeans
from harness_directions.feature import Feature
from harness_directions.principal_components import PrincipalComponents
from harness_directions.random_features import RandomFeatures
from harness_directions.random_vectors import RandomVectors
from harness_directions.sae_features import SaeFeatures
from harness_directions.shifted_features import MatchedFeatures, ShiftedFeatures

SITE = Site("resid_post", 1)
D = 8
Samples = Iterator[partial[None]]


def difference_in_means(folder: Path) -> Samples:
    """Prompts of both sets in four batches, of which the last is short."""
    given = options.DifferenceInMeansOptions(
        view="chat", site=str(SITE), positive="harmful", negative="harmless"
    )
    yield partial(check_direction, DifferenceInMeans(given), _prompts(), Inputs())


def sae_features(folder: Path) -> Samples:
    """Alone, and beside another choice of as many features."""
    other = Direction(SITE, np.ones((1, D)), sae="sae", features=(1, 2, 5), weights=(1.0,) * 3)
    for against in (None, "other"):
        given = options.SaeFeaturesOptions(
            target="target", sae="sae", view="chat", k=3, against=against
        )
        yield partial(check_direction, SaeFeatures(given), _prompts(), _inputs(other=other))


def random_features(folder: Path) -> Samples:
    """Three draws of four features."""
    given = options.RandomFeaturesOptions(target="target", sae="sae", view="chat", k=4, draws=3)
    read = [batch for batch in _prompts() if batch.stream == "positive"]
    finder = RandomFeatures(given)
    yield partial(check_direction, finder, read, _inputs(), variants=given.variants())


def random(folder: Path) -> Samples:
    """Three draws like a direction of one vector, and of three; nothing is read for them."""
    finder = RandomVectors(options.RandomVectorsOptions(like="shown", draws=3))
    for rank in (1, 3):
        vectors = np.random.default_rng(0).normal(size=(rank, D))
        given = Inputs({"shown": Direction(SITE, vectors)})
        variants = [{"draw": draw} for draw in range(3)]
        yield partial(check_direction, finder, [], given, variants=variants)


def feature(folder: Path) -> Samples:
    """A decoder row, and one turned round; nothing is read for them."""
    for scale in (1.0, -2.5):
        given = options.FeatureOptions(sae="sae", index=3, scale=scale)
        yield partial(check_direction, Feature(given), [], _inputs())


def principal_components(folder: Path) -> Samples:
    """Three components and the first two together, as they are and around the mean."""
    for center in (False, True):
        given = options.PrincipalComponentsOptions(
            pair="tuned", site=str(SITE), components=3, ranks=(2,), center=center
        )
        yield partial(
            check_direction,
            PrincipalComponents(given),
            _pairs(),
            _inputs(),
            variants=given.variants(),
            tolerance=1e-6,
        )


def shifted_features(folder: Path) -> Samples:
    """Five of 32."""
    given = options.ShiftedFeaturesOptions(pair="tuned", sae="sae", n=5)
    yield partial(check_direction, ShiftedFeatures(given), _pairs(), _inputs())


def matched_features(folder: Path) -> Samples:
    """Three draws of five."""
    given = options.MatchedFeaturesOptions(pair="tuned", sae="sae", n=5, draws=3)
    finder = MatchedFeatures(given)
    yield partial(check_direction, finder, _pairs(), _inputs(), variants=given.variants())


# ── What they are given ──────────────────────────────────────────────────────────────────────────


def _prompts() -> list[Batch]:
    """Two sets of prompts, one view of them, in batches of different sizes."""
    sizes = (("positive", 4), ("negative", 3), ("positive", 2), ("negative", 1))
    return [
        replace(small_batch(seed, documents=prompts, paired=False), stream=stream)
        for seed, (stream, prompts) in enumerate(sizes)
    ]


def _pairs() -> list[Batch]:
    """Three batches of both sides."""
    return [small_batch(seed) for seed in range(3)]


def _inputs(**directions: Direction) -> Inputs:
    """An SAE, and a direction to rebuild from its features."""
    target = Direction(SITE, 3 * np.random.default_rng(1).normal(size=(1, D)))
    return Inputs(
        directions={"target": target, **directions},
        saes={"sae": small_sae(D)},
        sae_sites={"sae": SITE},
        facts={"chat": ModelFacts(layers=4, d_model=D)},
    )
