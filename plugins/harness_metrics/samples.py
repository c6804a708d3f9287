"""What the laws are tried on, by `harness plugins check`: each metric beside its definition.

A function of each metric's name gives its samples. `_batch` makes two sides of activations that
differ, with an SAE of small width; some tokens are 0, and only some are selected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.contract import Batch, Latents, Metric, SaeFacts, Side, Site, Target
from harness.testing import array_batch, check_metric
from harness_metrics.activation_norm import ActivationNorm
from harness_metrics.cka import Cka
from harness_metrics.cosine import Cosine
from harness_metrics.dead_share import DeadShare
from harness_metrics.displacement import Displacement
from harness_metrics.explained_ratio import ExplainedRatio
from harness_metrics.fvu import Fvu
from harness_metrics.fvu_change import FvuChange
from harness_metrics.intersection_ratio import IntersectionRatio
from harness_metrics.kl import Kl
from harness_metrics.l0 import L0
from harness_metrics.l1_divergence import L1Divergence
from harness_metrics.latent_overlap import LatentOverlap
from harness_metrics.options import (
    ActivationNormOptions,
    CkaOptions,
    CosineOptions,
    DeadShareOptions,
    DisplacementOptions,
    ExplainedRatioOptions,
    FvuChangeOptions,
    FvuOptions,
    IntersectionRatioOptions,
    KlOptions,
    L0Options,
    L1DivergenceOptions,
    LatentOverlapOptions,
)

SITE = Site("resid_post", 1)
TARGET = Target(SITE, "sae")
Samples = Iterator[partial[None]]


def fvu(folder: Path) -> Samples:
    """Both sides, about the mean over all tokens."""
    for side in ("left", "right"):
        yield _sample(Fvu(FvuOptions(), TARGET), partial(_fvu, side=side), side)


def l0(folder: Path) -> Samples:
    """Both sides."""
    for side in ("left", "right"):
        yield _sample(L0(L0Options(), TARGET), partial(_l0, side=side), side)


def cosine(folder: Path) -> Samples:
    """Of activations, latents and reconstructions."""
    options = CosineOptions(variants=("raw", "latent", "recon"))
    yield _sample(Cosine(options, TARGET), _cosine)


def displacement(folder: Path) -> Samples:
    """By token, over all tokens, and how many moved at all."""
    yield _sample(Displacement(DisplacementOptions(), Target(SITE)), _displacement)


def explained_ratio(folder: Path) -> Samples:
    """The ratio of means in each norm, and the ratio of the sides' scales."""
    for norm in ("rms", "msq", "none"):
        options = ExplainedRatioOptions(norm=norm, variants=("ratio_of_means",))
        yield _sample(ExplainedRatio(options, TARGET), partial(_explained_ratio, norm=norm))


def fvu_change(folder: Path) -> Samples:
    """All but the median, which has bins, and the floor, a small difference of float32 numbers."""
    options = FvuChangeOptions(variants=("pooled", "centered", "errors"), floor="none")
    yield _sample(FvuChange(options, TARGET), _fvu_change)


def intersection_ratio(folder: Path) -> Samples:
    """By token, over all tokens, and by chance."""
    options = IntersectionRatioOptions()
    yield _sample(IntersectionRatio(options, TARGET), _intersection_ratio)


def latent_overlap(folder: Path) -> Samples:
    """Few latents, and more than are active."""
    for k in (3, 128):
        metric = LatentOverlap(LatentOverlapOptions(k=k), TARGET)
        yield _sample(metric, partial(_latent_overlap, k=k))


def l1_divergence(folder: Path) -> Samples:
    """Normalized and as it is."""
    yield _sample(L1Divergence(L1DivergenceOptions(), TARGET), _l1_divergence)


def kl(folder: Path) -> Samples:
    """Both directions, and the symmetric divergence."""
    options = KlOptions(variants=("next_token", "next_token_reverse", "jensen_shannon"))
    yield _sample(Kl(options, Target(SITE)), _kl)


def cka(folder: Path) -> Samples:
    """With and without its bias."""
    yield _sample(Cka(CkaOptions(), Target(SITE)), _cka)


def dead_share(folder: Path) -> Samples:
    """Both sides."""
    for side in ("left", "right"):
        yield _sample(DeadShare(DeadShareOptions(), TARGET), partial(_dead_share, side=side), side)


def activation_norm(folder: Path) -> Samples:
    """Quantiles of both sides, up to the bins of the histogram."""
    metric = ActivationNorm(ActivationNormOptions(variants=("p25", "p50", "p95")), Target(SITE))
    for side in ("left", "right"):
        yield _sample(metric, partial(_activation_norm, side=side), side, rtol=0.0101)


# ── Batches ──────────────────────────────────────────────────────────────────────────────────────


class _SmallSae:
    """ReLU of a product, above a threshold that leaves some tokens without a latent."""

    notes: tuple[str, ...] = ()
    fingerprint = "small"

    def __init__(self, d: int = 6, width: int = 20) -> None:
        generator = torch.Generator().manual_seed(3)
        self.facts = SaeFacts("small", d, width, SITE)
        self.w = torch.randn(d, width, generator=generator) / d**0.5
        self.bias = torch.randn(d, generator=generator)

    def encode(self, x: Tensor) -> Latents:
        a = (x - self.bias) @ self.w
        return Latents.from_dense(torch.where(a > 0.8, a, 0))

    def reconstruct(self, latents: Latents) -> Tensor:
        return latents.dense() @ self.w.T + self.bias

    def rows(self, indices: Tensor) -> Tensor:
        return self.w.T[indices]


def _sample(
    metric: Metric,
    reference: Callable[[Batch], Sequence[float]],
    side: str = "pair",
    rtol: float = 1e-6,
) -> partial[None]:
    """The check of a metric, on all tokens and on some."""
    batches = (_batch(0), _batch(1, selected=range(0, 40, 3)))
    return partial(check_metric, metric, *batches, reference=reference, side=side, rtol=rtol)


def _batch(seed: int, selected: Sequence[int] | None = None) -> Batch:
    """40 tokens of 5 documents; one token of each side is 0, one has no latent."""
    generator = torch.Generator().manual_seed(seed)
    sae = _SmallSae()
    left = torch.randn(40, 6, generator=generator)
    right = left + 0.5 * torch.randn(40, 6, generator=generator)
    left[3], right[6], left[9] = 0, 0, sae.bias
    logits = [torch.randn(40, 11, generator=generator) for _ in range(2)]
    document = [token % 5 for token in range(40)]
    return array_batch(
        document,
        {SITE: left},
        {SITE: right},
        saes={"sae": sae},
        selected=selected,
        logits=tuple(logits),
    )


# ── Definitions, in float64 ──────────────────────────────────────────────────────────────────────


def _side(batch: Batch, name: str) -> Side:
    side = batch.left if name == "left" else batch.right
    assert side is not None
    return side


def _x(batch: Batch, side: Side) -> np.ndarray:
    """The activations of the selected tokens."""
    return side.x(SITE)[batch.selected].double().numpy()


def _dense(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """The latents of both sides, with their zeros."""
    left, right = (
        _side(batch, name).latents("sae").dense().double().numpy() for name in ("left", "right")
    )
    return left, right


def _out(side: Side) -> np.ndarray:
    return side.reconstruction("sae").double().numpy()


def _fvu(batch: Batch, side: str) -> list[float]:
    x, out = _x(batch, _side(batch, side)), _out(_side(batch, side))
    return [np.square(x - out).sum() / np.square(x - x.mean(0)).sum()]


def _l0(batch: Batch, side: str) -> list[float]:
    latents = _side(batch, side).latents("sae").dense().numpy()
    return [float((latents != 0).sum(1).mean())]


def _cosine(batch: Batch) -> list[float]:
    sides = [_side(batch, name) for name in ("left", "right")]
    pairs = [[_x(batch, side) for side in sides], _dense(batch), [_out(side) for side in sides]]
    found: list[float] = []
    for left, right in pairs:
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        kept = lengths > 0
        cosines = (left * right).sum(1)[kept] / lengths[kept]
        found += [cosines.mean() if kept.any() else math.nan, 1 - kept.mean()]
    return found


def _displacement(batch: Batch) -> list[float]:
    b, c = (_x(batch, _side(batch, name)) for name in ("left", "right"))
    change, size = np.linalg.norm(c - b, axis=1), np.linalg.norm(b, axis=1)
    kept = size > 0
    pooled = math.sqrt(np.square(change).sum() / np.square(size).sum())
    return [(change[kept] / size[kept]).mean(), pooled, float((b != c).any(1).mean())]


def _explained_ratio(batch: Batch, norm: str) -> list[float]:
    b, c = (_side(batch, name).x(SITE).double().numpy() for name in ("left", "right"))
    power = 1.0 if norm == "msq" else 0.5
    s_b, s_c = (np.mean(np.sum(x**2, 1)) ** power for x in (b, c))
    scale = s_c / s_b
    if norm == "none":
        s_b = s_c = 1.0
    kept = batch.selected.numpy()
    error = np.square((c[kept] - _out(_side(batch, "right"))) / s_c).sum()
    change = np.square(c[kept] / s_c - b[kept] / s_b).sum()
    return [error / change, scale]


def _fvu_change(batch: Batch) -> list[float]:
    """Both errors token by token."""
    left, right = (_side(batch, name) for name in ("left", "right"))
    l_error, r_error = (_x(batch, side) - _out(side) for side in (left, right))
    moved, missed = _x(batch, right) - _x(batch, left), r_error - l_error
    size = np.square(moved).sum()
    both = float(np.sum(l_error * r_error))
    return [
        np.square(missed).sum() / size,
        np.square(missed - missed.mean(0)).sum() / np.square(moved - moved.mean(0)).sum(),
        both / math.sqrt(np.square(l_error).sum() * np.square(r_error).sum()),
        (np.square(l_error).sum() + np.square(r_error).sum()) / size,
    ]


def _active(latents: np.ndarray) -> list[set[int]]:
    return [set(np.flatnonzero(row).tolist()) for row in latents]


def _largest(latents: np.ndarray, k: int) -> list[set[int]]:
    """Of each row the k largest, and all that equal the k-th."""
    sizes = np.abs(latents)
    limits = -np.sort(-sizes, axis=1)[:, min(k, sizes.shape[1]) - 1]
    return _active(sizes * (sizes >= limits[:, None]))


def _jaccard(left: Sequence[set[int]], right: Sequence[set[int]]) -> float:
    """Mean of |A ∩ B| / |A ∪ B| over the rows of which one is not empty."""
    each = [len(a & b) / len(a | b) for a, b in zip(left, right, strict=True) if a | b]
    return float(np.mean(each)) if each else math.nan


def _intersection_ratio(batch: Batch) -> list[float]:
    b, c = _dense(batch)
    left, right = _active(b), _active(c)
    both = sum(len(x & y) for x, y in zip(left, right, strict=True))
    either = sum(len(x | y) for x, y in zip(left, right, strict=True))
    by_chance = float(((b != 0).sum(0) * (c != 0).sum(0)).sum()) / len(b)
    chance = by_chance / ((b != 0).sum() + (c != 0).sum() - by_chance)
    return [_jaccard(left, right), both / either, chance]


def _latent_overlap(batch: Batch, k: int) -> list[float]:
    b, c = _dense(batch)
    over_all = (_largest(np.abs(x).sum(0, keepdims=True), k) for x in (b, c))
    return [_jaccard(_largest(b, k), _largest(c, k)), _jaccard(*over_all)]


def _l1_divergence(batch: Batch) -> list[float]:
    b, c = _dense(batch)
    moved = np.abs(b - c).sum()
    return [moved / (np.abs(b) + np.abs(c)).sum(), moved / len(b)]


def _kl(batch: Batch) -> list[float]:
    logits = [
        _side(batch, name).logits()[batch.selected].double().numpy() for name in ("left", "right")
    ]
    log_p, log_q = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in logits)
    p, q = np.exp(log_p), np.exp(log_q)
    log_m = np.log((p + q) / 2)
    shannon = (p * (log_p - log_m) + q * (log_q - log_m)).sum(1) / 2
    return [
        (p * (log_p - log_q)).sum(1).mean(),
        (q * (log_q - log_p)).sum(1).mean(),
        shannon.mean(),
    ]


def _cka(batch: Batch) -> list[float]:
    """From the Gram matrices of all tokens."""
    x, y = (_x(batch, _side(batch, name)) for name in ("left", "right"))
    n = len(x)
    center = np.eye(n) - 1 / n

    def biased(k: np.ndarray, m: np.ndarray) -> float:
        return float(np.trace(center @ k @ center @ m))

    def unbiased(k: np.ndarray, m: np.ndarray) -> float:
        k, m = k * (1 - np.eye(n)), m * (1 - np.eye(n))
        rest = k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * (k @ m).sum() / (n - 2)
        return float((np.trace(k @ m) + rest) / (n * (n - 3)))

    grams = x @ x.T, y @ y.T
    return [
        hsic(*grams) / math.sqrt(hsic(grams[0], grams[0]) * hsic(grams[1], grams[1]))
        for hsic in (biased, unbiased)
    ]


def _dead_share(batch: Batch, side: str) -> list[float]:
    latents = _side(batch, side).latents("sae").dense().numpy()
    return [float((latents == 0).all(0).mean())]


def _activation_norm(batch: Batch, side: str) -> list[float]:
    lengths = np.linalg.norm(_x(batch, _side(batch, side)), axis=1)
    shares = (0.25, 0.5, 0.95)
    return [float(np.quantile(lengths, share, method="inverted_cdf")) for share in shares]
