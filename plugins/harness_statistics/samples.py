"""What the laws are tried on, by `harness plugins check`: each statistic beside its definition.

The definitions are in numpy and float64, from the dense latents of all batches at once.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.contract import Batch, Direction, Inputs, Latents, SaeFacts, SaeInput, Site
from harness.testing import check_statistic, small_batch, small_sae
from harness_statistics.attribution.samples import latent_attribution as latent_attribution
from harness_statistics.contexts import Contexts
from harness_statistics.decoder_norms import DecoderNorms
from harness_statistics.direction_cosines import DirectionCosines
from harness_statistics.feature_shift import FeatureShift
from harness_statistics.flip_rate.flip_rate import FlipRate
from harness_statistics.flip_rate.options import FlipRateOptions
from harness_statistics.kept_vectors.samples import kept_vectors as kept_vectors
from harness_statistics.latent_scaling.samples import latent_scaling as latent_scaling
from harness_statistics.mean_difference.samples import mean_difference as mean_difference
from harness_statistics.moments import LatentMoments
from harness_statistics.options import (
    ContextsOptions,
    DecoderNormsOptions,
    DirectionCosinesOptions,
    FeatureShiftOptions,
    LatentMomentsOptions,
    PcFeatureCosineOptions,
    ShiftAlongOptions,
    TokenCountsOptions,
)
from harness_statistics.pc_feature_cosine import PcFeatureCosine
from harness_statistics.shift_along import ShiftAlong
from harness_statistics.token_counts import TokenCounts

SITE = Site("resid_post", 1)
D, WIDTH = 8, 32
Samples = Iterator[partial[None]]
Expected = dict[str, Any]


def feature_shift(folder: Path) -> Samples:
    """Limits that so few tokens can pass."""
    given = FeatureShiftOptions(pair="tuned", sae="sae", minimum=2, delta=0.05, table=5)
    yield partial(
        check_statistic, FeatureShift(given), *_pairs(), reference=_shift, inputs=_inputs()
    )


def contexts(folder: Path) -> Samples:
    """The left side of a pair, and a view by itself."""
    pair = ContextsOptions(sae="sae", pair="tuned", count=2, before=2, after=1)
    view = ContextsOptions(sae="sae", view="base", data="web", count=3, before=1, after=1)
    for given in (pair, view):
        yield partial(
            check_statistic,
            Contexts(given),
            *_pairs(),
            reference=partial(_contexts, count=given.count),
            inputs=_inputs(),
        )


def shift_along(folder: Path) -> Samples:
    """Along a random direction, each document counting the same."""
    given = ShiftAlongOptions(pair="tuned", direction="v", site=str(SITE), tokens="all")
    vector = np.random.default_rng(3).normal(size=(1, D))
    yield partial(
        check_statistic,
        ShiftAlong(given),
        *_pairs(),
        reference=partial(_shifted_along, vector=vector[0]),
        inputs=Inputs({"v": Direction(SITE, vector)}),
    )


def direction_cosines(folder: Path) -> Samples:
    """Of three random directions; nothing is read for them."""
    names = ("v", "w", "u")
    vectors = np.random.default_rng(4).normal(size=(3, 1, D))
    units = vectors[:, 0] / np.linalg.norm(vectors[:, 0], axis=1, keepdims=True)
    pairs = [units[i] @ units[j] for i, j in ((0, 1), (0, 2), (1, 2))]
    yield partial(
        check_statistic,
        DirectionCosines(DirectionCosinesOptions(directions=names)),
        reference=lambda batches: {"direction_cosines.cosine@1": pairs},
        inputs=Inputs({name: Direction(SITE, v) for name, v in zip(names, vectors, strict=True)}),
    )


def flip_rate(folder: Path) -> Samples:
    """What the fine-tune flips, and with a threshold what three of its directions flip."""
    alone = FlipRateOptions(pair="tuned", site=str(SITE), saes=("sae",), min_support=3)
    pcs = alone.model_copy(update={"pcs": "pcs", "ranks": (1, 3), "tau": 0.7})
    for given in (alone, pcs):
        yield partial(
            check_statistic,
            FlipRate(given),
            *_pairs(),
            reference=partial(_flips, given=given),
            inputs=_inputs(),
        )


def pc_feature_cosine(folder: Path) -> Samples:
    """Three components and an SAE's rows; nothing is read."""
    given = PcFeatureCosineOptions(pair="tuned", site=str(SITE), saes=("sae",), pcs="pcs")
    yield partial(check_statistic, PcFeatureCosine(given), reference=_cosines, inputs=_inputs())


def decoder_norms(folder: Path) -> Samples:
    """Rows of every kind, of a crosscoder that scales its models alike or not; nothing is read."""
    for scales in ((1.0, 1.0), (0.3, 0.7)):
        inputs = Inputs(saes={"both": _Rows(scales)}, sae_sites={"both": SITE})
        given = DecoderNormsOptions(sae="both", table=5)
        yield partial(
            check_statistic,
            DecoderNorms(given),
            reference=partial(_norms, scales=scales),
            inputs=inputs,
        )


def latent_moments(folder: Path) -> Samples:
    """Of a pair in groups with raw activations, and of a view."""
    pair = LatentMomentsOptions(pair="tuned", sae="sae", raw=str(SITE), groups=4)
    view = LatentMomentsOptions(view="base", data="web", sae="sae", groups=0)
    for given, paired in ((pair, True), (view, False)):
        batches = [small_batch(seed, paired=paired) for seed in range(3)]
        yield partial(
            check_statistic, LatentMoments(given), *batches, reference=_moments, inputs=_inputs()
        )


def token_counts(folder: Path) -> Samples:
    """Of a pair, and of a view."""
    given = TokenCountsOptions(view="base", data="web")
    for counted, paired in ((TokenCountsOptions(pair="tuned"), True), (given, False)):
        batches = [small_batch(seed, paired=paired) for seed in range(3)]
        yield partial(check_statistic, TokenCounts(counted), *batches, reference=_counted)


# ── What they are given ──────────────────────────────────────────────────────────────────────────


class _Rows:
    """A crosscoder of which the decoder alone is looked at."""

    fingerprint = "rows"
    notes: tuple[str, ...] = ()

    def __init__(self, scales: tuple[float, float]) -> None:
        sides = (SaeInput("left", width=D), SaeInput("right", width=D))
        self.facts = SaeFacts("crosscoder", 2 * D, WIDTH, SITE, inputs=sides, scales=scales)
        rows = torch.randn(WIDTH, 2 * D, generator=torch.Generator().manual_seed(5))
        rows[:6, :D] *= 0.05
        rows[6:12, D:] *= 0.01
        rows[12:20, D:] = rows[12:20, :D] * 1.1
        rows[20:22] = 0
        self.decoder = rows

    def encode(self, x: Tensor) -> Latents:
        raise NotImplementedError("its latents are not looked at")

    def reconstruct(self, latents: Latents) -> Tensor:
        raise NotImplementedError("its latents are not looked at")

    def rows(self, indices: Tensor) -> Tensor:
        return self.decoder[indices]


def _pairs() -> list[Batch]:
    return [small_batch(seed) for seed in range(3)]


def _inputs() -> Inputs:
    """An SAE, and three orthogonal components of a change."""
    vectors = np.linalg.qr(np.random.default_rng(2).normal(size=(D, D)))[0][:3]
    pcs = Direction(SITE, vectors * np.array([[0.9], [0.5], [0.2]]))
    return Inputs({"pcs": pcs}, {"sae": small_sae(D, WIDTH)}, {"sae": SITE})


# ── Definitions, in float64 ──────────────────────────────────────────────────────────────────────


def _latents(batches: Sequence[Batch]) -> list[np.ndarray]:
    """The dense latents of the selected tokens: of the left side, and of the right one."""
    sides: list[list[np.ndarray]] = [[], []]
    for batch in batches:
        for place, side in enumerate((batch.left, batch.right)):
            if side is not None:
                sides[place].append(side.latents("sae").dense().double().numpy())
    return [np.concatenate(one) for one in sides if one]


def _x(batches: Sequence[Batch], side: str) -> np.ndarray:
    found = [getattr(one, side).x(SITE)[one.selected].double().numpy() for one in batches]
    return np.concatenate(found)


def _documents(batches: Sequence[Batch]) -> list[str]:
    """The document of each selected token."""
    return [one.documents[one.document[token]] for one in batches for token in one.selected]


def _shift(batches: Sequence[Batch]) -> Expected:
    left, right = _latents(batches)
    tokens, mean = len(left), [left.mean(0), right.mean(0)]
    active = [(z != 0).sum(0) for z in (left, right)]
    present = [count >= max(2, 0.05 * tokens) for count in active]
    absent = [count / tokens < 1e-5 for count in active]
    either, both = present[0] | present[1], present[0] & present[1]

    def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        size = np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-5)
        return np.asarray(np.abs(b - a) / size)

    inside = [z.sum(0) / np.maximum(n, 1) for z, n in zip((left, right), active, strict=True)]
    more, less = np.maximum(*active), np.minimum(*active)
    kinds = {
        "shifted": either & (apart(*mean) > 0.5),
        "appeared": absent[0] & present[1],
        "disappeared": present[0] & absent[1],
        "magnitude": both & (apart(*inside) > 0.5),
        "frequency": both & (more > 2 * less),
    }
    shares = {
        f"feature_shift.{kind}@1": holds.sum() / either.sum() for kind, holds in kinds.items()
    }
    return {
        **shares,
        "mean_left": mean[0],
        "mean_right": mean[1],
        "delta": mean[1] - mean[0],
        "frequency_left": active[0] / tokens,
        "frequency_right": active[1] / tokens,
    }


def _contexts(batches: Sequence[Batch], count: int) -> Expected:
    """The strongest value of each feature in each document, of all documents the strongest."""
    latents, names = _latents(batches)[0], np.array(_documents(batches))
    values = np.zeros((WIDTH, count))
    for feature in range(WIDTH):
        best = sorted((latents[names == one, feature].max() for one in set(names)), reverse=True)
        values[feature] = [*best, *[0.0] * count][:count]
    return {"values": values, "contexts.active_share@1": float((values[:, 0] != 0).mean())}


def _flips(batches: Sequence[Batch], given: FlipRateOptions) -> Expected:
    """Where being on differs, for the right side and for the left one with something added."""
    x, y = (_x(batches, side) for side in ("left", "right"))
    sae, found = small_sae(D, WIDTH), []
    edited = [y]
    if given.pcs is not None:
        pcs = _inputs().directions["pcs"]
        assert isinstance(pcs, Direction)
        units = pcs.vectors / np.linalg.norm(pcs.vectors, axis=1, keepdims=True)
        edited += [x + (y - x) @ units[:k].T @ units[:k] for k in given.ranks]
        edited += [x + pcs.vectors[:k].sum(0) for k in given.ranks]

    def on(values: np.ndarray) -> np.ndarray:
        dense = sae.encode(torch.tensor(values, dtype=torch.float32)).dense().numpy()
        return np.asarray(np.abs(dense) > given.tau)

    before = on(x)
    for values in edited:
        after = on(values)
        found.append(((~before & after).sum(), (before & ~after).sum(), (before | after).sum()))
    flips = np.array(found, dtype=float)
    both = flips[:, 0] + flips[:, 1]
    return {
        "flips.off_on@1": flips[:, 0],
        "flips.on_off@1": flips[:, 1],
        "flip_rate.all@1": both / (len(x) * WIDTH),
        "flip_rate.micro@1": both / flips[:, 2],
    }


def _cosines(batches: Sequence[Batch]) -> Expected:
    given = _inputs()
    pcs, rows = given.directions["pcs"], given.saes["sae"].rows(torch.arange(WIDTH))
    assert isinstance(pcs, Direction)
    best = []
    for vector in pcs.vectors:
        cosines = [
            abs(float(vector @ row)) / (np.linalg.norm(vector) * np.linalg.norm(row))
            for row in rows.double().numpy()
        ]
        best.append(max(cosines))
    return {"pc_feature_cosine.max_abs@1": best}


def _norms(batches: Sequence[Batch], scales: tuple[float, float]) -> Expected:
    rows = _Rows(scales).decoder.double().numpy()
    deltas: Mapping[str, list[float]] = {"normalised": [], "raw": []}
    for row in rows:
        for space, (left, right) in (("normalised", scales), ("raw", (1.0, 1.0))):
            a, b = math.hypot(*(left * row[:D])), math.hypot(*(right * row[D:]))
            deltas[space].append(((b - a) / max(a, b) + 1) / 2 if max(a, b) else math.nan)
    medians = [float(np.nanmedian(deltas[space])) for space in ("normalised", "raw")]
    dead = float(np.isnan(deltas["raw"]).mean())
    arrays = {f"delta_{space}": np.array(found) for space, found in deltas.items()}
    return {"decoder_norms.median@1": medians, "decoder_norms.dead@1": dead, **arrays}


def _moments(batches: Sequence[Batch]) -> Expected:
    """All groups are drawn together by the hash of a document's id, as the docstring says."""
    latents = _latents(batches)
    paired = len(latents) > 1
    groups = 4 if paired else 1
    digests = [hashlib.sha256(name.encode()).digest()[:8] for name in _documents(batches)]
    group = np.array([int.from_bytes(digest, "big") % groups for digest in digests])

    def summed(values: np.ndarray) -> np.ndarray:
        return np.stack([values[group == one].sum(0) for one in range(groups)])

    found: Expected = {"tokens": summed(np.ones(len(group)))}
    for name, z in zip(("left", "right"), latents, strict=False):
        found |= {f"{name}_sum": summed(z), f"{name}_square": summed(z**2)}
        found[f"{name}_active"] = (z != 0).sum(0)
    if paired:
        x, y = (_x(batches, side) for side in ("left", "right"))
        found["change_square"] = summed((latents[1] - latents[0]) ** 2)
        found |= {"raw_left_sum": summed(x), "raw_change_square": summed((y - x) ** 2)}
    return found


def _shifted_along(batches: Sequence[Batch], vector: np.ndarray) -> Expected:
    """Document by document, in float64."""
    means = []
    for batch in batches:
        assert batch.right is not None
        change = (batch.right.x(SITE).double() - batch.left.x(SITE).double())[batch.selected]
        owner = batch.document[batch.selected]
        means += [change[owner == one].mean(0).numpy() for one in owner.unique()]
    shift = np.mean(means, 0)
    along = shift @ vector / np.linalg.norm(vector)
    return {
        "shift_along.projection@1": along,
        "shift_along.distance@1": along / np.linalg.norm(vector),
        "shift_along.share@1": along**2 / (shift @ shift),
    }


def _counted(batches: Sequence[Batch]) -> Expected:
    found = Counter(int(one.ids[token]) for one in batches for token in one.selected)
    return {"ids": sorted(found), "counts": [found[id] for id in sorted(found)]}
