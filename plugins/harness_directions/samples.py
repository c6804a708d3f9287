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

from harness.contract import (
    Batch,
    Direction,
    FollowedPath,
    GradientPath,
    Inputs,
    Latents,
    ModelFacts,
    PathTail,
    SaeFacts,
    SaeInput,
    Site,
)
from harness.testing import array_batch, check_direction, small_batch, small_sae
from harness_directions import options
from harness_directions.attributed_features import AttributedControls, AttributedFeatures
from harness_directions.difference_in_means import DifferenceInMeans
from harness_directions.feature import Feature
from harness_directions.genuine_features import GenuineFeatures, OtherFeatures
from harness_directions.principal_components import PrincipalComponents
from harness_directions.random_features import RandomFeatures
from harness_directions.random_vectors import RandomVectors
from harness_directions.sae_features import SaeFeatures
from harness_directions.shifted_features import MatchedFeatures, ShiftedFeatures
from harness_directions.sided_features import SharedFeatures, SidedFeatures
from harness_statistics.latent_scaling.samples import ToyCrosscoder, toy_batch

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


def attributed_features(folder: Path) -> Samples:
    """Three latents of a path whose tails are nearly straight, and of one that is bent."""
    for bent, vectors in ((0.02, "rows"), (0.02, "change"), (9.0, "rows")):
        given = options.AttributedFeaturesOptions.model_validate(
            {"pair": "tuned", "sae": "sae", "words": ("I",), "k": 3, "vectors": vectors}
        )
        read = [_followed(given.path(SITE), seed, bent) for seed in range(3)]
        yield partial(check_direction, AttributedFeatures(given), read, _inputs())


def attributed_controls(folder: Path) -> Samples:
    """Three draws of three."""
    given = options.AttributedControlsOptions.model_validate(
        {"pair": "tuned", "sae": "sae", "words": ("I",), "k": 3, "draws": 3}
    )
    read = [_followed(given.path(SITE), seed, 0.02) for seed in range(3)]
    finder = AttributedControls(given)
    yield partial(check_direction, finder, read, _inputs(), variants=given.variants())


def sided_features(folder: Path) -> Samples:
    """Three of either side, of a crosscoder that scales its models alike or not."""
    for side, scales in (("right", (1.0, 1.0)), ("left", (0.5, 2.0))):
        given = options.SidedFeaturesOptions(pair="tuned", sae="both", side=side, k=3)
        yield partial(check_direction, SidedFeatures(given), *_crosscoded(scales))


def shared_features(folder: Path) -> Samples:
    """Three draws of three."""
    given = options.SharedFeaturesOptions(pair="tuned", sae="both", k=3, draws=3)
    yield partial(
        check_direction,
        SharedFeatures(given),
        *_crosscoded((1.0, 1.0)),
        variants=given.variants(),
    )


def genuine_features(folder: Path) -> Samples:
    """Genuine ones and artefacts, of either side, by what they write and by their ratios."""
    for side, kind, order in (("right", "genuine", "written"), ("left", "artefact", "ratios")):
        given = options.GenuineFeaturesOptions(
            pair="tuned", sae="both", side=side, kind=kind, order=order, k=1, minimum=3,
            error=0.5, reconstruction=0.9,
        )  # fmt: skip
        yield partial(check_direction, GenuineFeatures(given), *_scaled())


def other_features(folder: Path) -> Samples:
    """Three draws of one."""
    given = options.OtherFeaturesOptions(pair="tuned", sae="both", k=1, draws=3, minimum=3,
                                         error=0.5, reconstruction=0.9)  # fmt: skip
    yield partial(check_direction, OtherFeatures(given), *_scaled(), variants=given.variants())


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


def _followed(path: GradientPath, seed: int, bent: float) -> Batch:
    """A batch of both sides with random gradients; `bent`: how far a path's ends are off a line."""
    batch, random = small_batch(seed), np.random.default_rng(seed)
    assert batch.right is not None
    change = (batch.right.x(SITE) - batch.left.x(SITE)).double()
    tails = []
    for _ in range(2):
        gradient = torch.tensor(random.normal(size=change.shape) + 1)
        along = torch.zeros(len(batch.documents), dtype=torch.float64)
        along.index_add_(0, batch.document, (gradient * change).sum(1))
        left = torch.tensor(random.normal(size=len(along)))
        right = left + along + bent * torch.tensor(random.normal(size=len(along)))
        # What comes out of the plain run is what is put back, on either side.
        plain = left if not tails else right
        tails.append(PathTail(gradient, left, right, plain, along))
    return replace(batch, paths={path: FollowedPath(*tails)})


def _inputs(**directions: Direction) -> Inputs:
    """An SAE, and a direction to rebuild from its features."""
    target = Direction(SITE, 3 * np.random.default_rng(1).normal(size=(1, D)))
    return Inputs(
        directions={"target": target, **directions},
        saes={"sae": small_sae(D)},
        sae_sites={"sae": SITE},
        facts={"chat": ModelFacts(layers=4, d_model=D)},
    )


def _crosscoded(scales: tuple[float, float]) -> tuple[list[Batch], Inputs]:
    """Three batches of a pair, and a crosscoder: its latents are the same on both sides, so each
    side has what both are joined to."""
    sae = _Crosscoder(scales)
    batches = []
    for seed in range(3):
        x = torch.randn(16, 2 * D, generator=torch.Generator().manual_seed(seed))
        document = [0] * 7 + [1] * 3 + [2] * 6
        names = [f"{seed}-{number}" for number in range(3)]
        batches.append(
            array_batch(
                document,
                {SITE: x},
                {SITE: x},
                saes={"both": sae},
                selected=[0, 1, *range(3, 16)],
                documents=names,
            )
        )
    return batches, Inputs(saes={"both": sae}, sae_sites={"both": SITE})


def _scaled() -> tuple[list[Batch], Inputs]:
    """Three batches of a pair with each side's own activations, and a crosscoder of both."""
    sae = ToyCrosscoder()
    batches = [toy_batch(sae, seed) for seed in range(3)]
    return batches, Inputs(saes={"both": sae}, sae_sites={"both": SITE})


class _Crosscoder:
    """Latents are positive coordinates; a third of the rows are of each side, a third of both."""

    notes: tuple[str, ...] = ()

    def __init__(self, scales: tuple[float, float]) -> None:
        random = torch.Generator().manual_seed(9)
        self._encoder = torch.randn(2 * D, 3 * D, generator=random)
        rows = torch.randn(3 * D, 2, D, generator=random)
        rows /= rows.norm(dim=2, keepdim=True) * torch.tensor(scales)[:, None]
        rows[:D, 0] *= 0.01
        rows[D : 2 * D, 1] *= 0.01
        self._rows = rows.flatten(1)
        sides = (SaeInput("left", width=D), SaeInput("right", width=D))
        self.facts = SaeFacts("crosscoder", 2 * D, 3 * D, SITE, inputs=sides, scales=scales)
        self.fingerprint = f"crosscoder scaled by {scales}"

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Latents:
        return Latents.from_dense((x @ self._encoder).relu())

    def reconstruct(self, latents: Latents) -> Float[Tensor, "tokens d_in"]:
        return latents.dense() @ self._rows

    def rows(self, indices: Int[Tensor, " m"]) -> Float[Tensor, "m d_in"]:
        return self._rows[indices]
