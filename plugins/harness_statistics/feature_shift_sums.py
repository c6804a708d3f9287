"""Sums of each feature over both sides of a pair, and what follows from them: means and SEs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from harness.contract import Batch, State
from harness.contract.latents import Latents
from harness_statistics.sums import plus

_SCRATCH = 2**21
"""Numbers of the matrices `[documents, d_sae]` that are made at a time."""
FEWEST = 10
"""Documents below which a feature's shift has no test."""
_ROUNDING = 1e-14
"""Variance, relative to the squares that it is a difference of, below which it is rounding."""


@dataclass(frozen=True)
class Shift:
    """Means, counts and standard errors of each feature. Means include the tokens with z = 0."""

    tokens: int
    documents: int
    mean: Float[np.ndarray, "2 d_sae"]
    """Of the left and of the right side."""
    active: Int[np.ndarray, "2 d_sae"]
    """Tokens on which the latent is not zero, on either side."""
    delta: Float[np.ndarray, " d_sae"]
    """Δμ = mean_right − mean_left."""
    se: Float[np.ndarray, " d_sae"]
    """Standard error of Δμ, clustered by document; NaN with fewer than two documents."""

    @property
    def frequency(self) -> Float[np.ndarray, "2 d_sae"]:
        """The share of tokens on which the latent is not zero, on either side; 0 without tokens."""
        return np.asarray(self.active / max(self.tokens, 1))


def added(state: State, batch: Batch, sae: str) -> State:
    """A new state: the old one plus a batch. Every entry is a sum; an absent entry is zero.

    `left`, `right`: Σ_t z (float64 `[d_sae]`); `active_left`, `active_right`: tokens with z ≠ 0
    (int64 `[d_sae]`); with D_d = Σ_{t∈d} (z_right − z_left) and n_d tokens of document d (all
    copies of one together):
    `square`: Σ_d D_d², `cross`: Σ_d n_d D_d (float64 `[d_sae]`); `tokens`: Σ n_d, `sizes`: Σ n_d²,
    `documents`: how many different ones have a token (int64 `[1]`).
    """
    if not len(batch.selected):
        return state
    assert batch.right is not None, "feature_shift reads a pair"
    owner = batch.document.cpu().numpy()[batch.selected.cpu().numpy()]
    sizes = np.bincount(owner, minlength=len(batch.documents))
    # Equal documents are one cluster, whose sum is squared: k copies before it make a further one
    # add ((k+1)D)² − (kD)² = (2k+1)D².
    copied = 2 * np.array(batch.copies or [0] * len(sizes)) + 1
    terms = {
        "tokens": np.array([len(owner)], dtype=np.int64),
        "sizes": np.array([(copied * np.square(sizes)).sum()], dtype=np.int64),
        "documents": np.array([batch.clusters(sizes)], dtype=np.int64),
    }
    sides = [_Side(side.latents(sae), owner) for side in (batch.left, batch.right)]
    for name, side in zip(("left", "right"), sides, strict=True):
        terms[f"active_{name}"] = np.bincount(side.index, minlength=side.d_sae).astype(np.int64)
    step = max(1, _SCRATCH // sides[0].d_sae)
    for start in range(0, len(sizes), step):
        n = sizes[start : start + step].astype(np.float64)
        left, right = (side.by_document(start, len(n)) for side in sides)
        difference = right - left
        times = copied[start : start + step].astype(np.float64)
        part = {"left": left.sum(0), "right": right.sum(0), "cross": (times * n) @ difference}
        square = np.square(difference, out=difference)
        part["square"] = (square * times[:, None] if batch.copies else square).sum(0)
        terms = plus(terms, part)
    return plus(state, terms)


def shift(state: State, d_sae: int) -> Shift:
    """Means, frequencies and standard errors from the sums.

    SE² = C/(C−1) · Σ_d (D_d − n_d Δμ)² / N² with C documents and N = Σ n_d tokens: the linearised
    variance of a ratio of sums over clusters. Source: Cochran, Sampling Techniques, 1977, ch. 11.
    """
    zero, none = np.zeros(d_sae), np.zeros(d_sae, dtype=np.int64)
    n, clusters = count(state, "tokens"), count(state, "documents")
    total = max(n, 1)
    mean = np.stack([state.get("left", zero), state.get("right", zero)]) / total
    delta = mean[1] - mean[0]
    square = state.get("square", zero)
    spread = square - 2 * delta * state.get("cross", zero) + delta**2 * count(state, "sizes")
    spread = np.where(spread > _ROUNDING * square, spread, 0.0)
    if clusters > 1:
        se = np.sqrt(spread * clusters / (clusters - 1)) / total
    else:
        se = np.full(d_sae, np.nan)
    active = np.stack([state.get("active_left", none), state.get("active_right", none)])
    return Shift(n, clusters, mean, active, delta, se)


def no_shift(found: Shift) -> Float[np.ndarray, " d_sae"]:
    """The p, two-sided, that a feature's mean is the same on both sides: Student's t of Δμ/SE, with
    a degree of freedom for each document but one.

    Where SE is 0, all documents moved by the same amount for each token: then the sign test, 2^(1 −
    documents), and 1 where none moved. NaN with fewer than `FEWEST` documents. Of a feature that is
    active in few documents, t has no value large enough for a small p, whatever they say.
    """
    if found.documents < FEWEST:
        return np.full(len(found.delta), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(found.delta / found.se)
    p = 2 * special.stdtr(found.documents - 1, -np.where(np.isfinite(t), t, 0.0))
    alike = 2.0 ** (1 - min(found.documents, 1000))
    p = np.where(found.se > 0, p, np.where(found.delta == 0, 1.0, alike))
    return np.maximum(p, np.finfo(np.float64).tiny)


def count(state: State, name: str) -> int:
    """A count of the state, such as `tokens`; 0 where it is absent."""
    return int(state[name][0]) if name in state else 0


class _Side:
    """The latents of one side as flat arrays."""

    def __init__(self, latents: Latents, owner: Int[np.ndarray, " selected"]) -> None:
        self.d_sae = latents.d_sae
        self.index = latents.indices.cpu().numpy()
        self.value = latents.values.detach().cpu().double().numpy()
        self.document = np.repeat(owner, latents.counts.cpu().numpy())

    def by_document(self, start: int, rows: int) -> Float[np.ndarray, "rows d_sae"]:
        """Σ z over the tokens of each of some documents."""
        inside = (self.document >= start) & (self.document < start + rows)
        place = (self.document[inside] - start) * self.d_sae + self.index[inside]
        sums = np.bincount(place, weights=self.value[inside], minlength=rows * self.d_sae)
        return sums.reshape(rows, self.d_sae)
