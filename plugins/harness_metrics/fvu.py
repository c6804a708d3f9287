"""The fraction of variance unexplained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness_metrics import documents
from harness_metrics.options import Fvu as Options

SMALLEST = 1e-13
"""Variance over mean square below which x is constant, as far as float32 can tell."""


def squared_error(
    x: Float[Tensor, "tokens d"], reconstruction: Float[Tensor, "tokens d"]
) -> Float[Tensor, " tokens"]:
    """‖x − x̂‖² of each token, in float64."""
    parts = [
        (documents.wide(x[p]) - documents.wide(reconstruction[p])).square().sum(1)
        for p in documents.pieces(x)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def squared_norm(x: Float[Tensor, "tokens d"]) -> Float[Tensor, " tokens"]:
    """‖x‖² of each token, in float64."""
    parts = [documents.wide(x[p]).square().sum(1) for p in documents.pieces(x)]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


class Fvu:
    """Divides what an SAE fails to reconstruct by the variance: 0 is perfect, above 1 is useless.

    `fvu.pooled`: `Σ_t ‖x_t − x̂_t‖² / Σ_t ‖x_t − x̄‖²`, with x̄ the mean over *all* evaluated
    tokens, so that no batch size enters. x: Float[Tensor, "tokens d"] at the target's site, x̂
    its reconstruction from the SAE's latents there.

    Unit: ratio, from 0 without an upper limit (it is not clipped). Lower is better. Undefined
    where nothing was measured or all tokens are the same vector. Not symmetric, one-sided.

    Source: FVU of Feature Drift, section 3, as sparsify computes it, but with the mean over
    everything instead of over each batch. It is not `1 − explained_variance` of SAEBench, nor
    dictionary_learning's, which forgives a constant bias.
    """

    values = (
        MetricValue(
            id="fvu.pooled@1",
            unit="ratio",
            n_of="tokens",
            undefined="the activations do not vary",
        ),
    )

    def __init__(self, options: Options, target: Target) -> None:
        assert target.sae is not None, "fvu is measured on an SAE"
        self._site, self._sae = target.site, target.sae

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Σ‖x−x̂‖², Σx, Σ‖x‖² and the number of tokens of each document."""
        x = documents.selected(batch, side.x(self._site))
        error = squared_error(x, side.reconstruction(self._sae, self._site))
        return {
            "n": documents.counts(batch),
            "error": documents.sums(batch, error),
            "x": documents.sums(batch, x),
            "square": documents.sums(batch, squared_norm(x)),
        }

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """`error / (square − ‖x‖²/n)`.

        The difference cancels where the mean is far larger than the spread. Its error is
        1e-16 · mean square, and float32 activations cannot vary by less than 1e-14 of it, so in
        float64 nothing that exists is lost; what is below `SMALLEST` is rounding, not variance.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = sums["square"] - np.square(sums["x"]).sum(-1) / sums["n"]
            varies = variance > SMALLEST * sums["square"]
            return [np.where(varies, sums["error"] / variance, np.nan)]
