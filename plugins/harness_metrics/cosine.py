"""Cosines between two sides' activations, and between their latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness.latents import Latents, dots, square_norms
from harness_metrics import documents
from harness_metrics.options import Cosine as Options

RAW, LATENT = "cosine.raw@1", "cosine.latent@1"
_SAME = {"kind": "identical", "value": 1.0}


def cosines(
    product: Float[Tensor, " tokens"],
    left: Float[Tensor, " tokens"],
    right: Float[Tensor, " tokens"],
) -> tuple[Float[Tensor, " tokens"], Bool[Tensor, " tokens"]]:
    """x·y / (‖x‖‖y‖) of each token from x·y, ‖x‖² and ‖y‖², and where it exists; 0 elsewhere.

    One root of the product instead of two: of a vector with itself that is exactly 1.
    """
    defined = (left > 0) & (right > 0)
    length = (left * right).sqrt()
    return torch.where(defined, product / torch.where(defined, length, 1), 0), defined


def raw_cosines(
    left: Float[Tensor, "tokens d"], right: Float[Tensor, "tokens d"]
) -> tuple[Float[Tensor, " tokens"], Bool[Tensor, " tokens"]]:
    """Cosines of rows, and where both have a length; float64."""
    found, defined = [], []
    for piece in documents.pieces(left):
        x, y = documents.wide(left[piece]), documents.wide(right[piece])
        cosine, exists = cosines((x * y).sum(1), (x * x).sum(1), (y * y).sum(1))
        found.append(cosine)
        defined.append(exists)
    if not found:
        return torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.bool)
    return torch.cat(found), torch.cat(defined)


def latent_cosines(
    left: Latents, right: Latents
) -> tuple[Float[Tensor, " tokens"], Bool[Tensor, " tokens"]]:
    """Cosines of latents, and where both sides have an active one; never dense."""
    return cosines(dots(left, right), square_norms(left), square_norms(right))


class Cosine:
    """Compares the directions of two sides' activations, and of their latents, token by token.

    `cosine.raw`: `mean_t x_t·y_t / (‖x_t‖‖y_t‖)` with x, y: Float[Tensor, "tokens d"] at the
    target's site, left and right. `cosine.latent`: the same with the latents of one SAE on both
    sides; measured where the target has an SAE. Tokens where a side has length 0 (no active
    latent) have no cosine: they are left out, `n` counts the others, and `cosine.raw_excluded`
    and `cosine.latent_excluded` are the shares left out.

    Unit: cosine, −1 to 1; shares 0 to 1. Symmetric. 1 when both sides are the same model.
    Undefined where no token has one.

    Source: METHODS sections 1 and 4 (the headline of arXiv 2605.11426).
    """

    def __init__(self, options: Options, target: Target) -> None:
        self._target = target
        names = [(RAW, "raw", "activations of length 0 on one side")]
        if target.sae is not None:
            names.append((LATENT, "latent", "no active latent on one side"))
        self._names = names
        self.values = tuple(v for name in names for v in _pair_of_values(*name))

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Σcos over the tokens that have one, their number, and the number of all, by document."""
        right = batch.right
        assert right is not None, "cosine is measured on pairs"
        site, sae = self._target.site, self._target.sae
        x, y = (documents.selected(batch, s.x(site)) for s in (batch.left, right))
        found = {RAW: raw_cosines(x, y)}
        if sae is not None:
            found[LATENT] = latent_cosines(batch.left.latents(sae, site), right.latents(sae, site))
        sums = {"n": documents.counts(batch)}
        for name, (cosine, defined) in found.items():
            sums[name] = documents.sums(batch, cosine)
            sums[f"n.{name}"] = documents.sums(batch, defined.to(cosine.dtype))
        return sums

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """Mean cosine and share left out, for activations and then latents."""
        found = []
        for name, _, _ in self._names:
            defined, n = sums[f"n.{name}"], sums["n"]
            with np.errstate(divide="ignore", invalid="ignore"):
                found.append(np.where(defined > 0, sums[name] / defined, np.nan))
                found.append(np.where(n > 0, 1 - defined / n, np.nan))
        return found


def _pair_of_values(name: str, what: str, why: str) -> tuple[MetricValue, MetricValue]:
    return (
        MetricValue(
            id=name,
            unit="cosine",
            n_of="tokens",
            undefined=f"every token has {why}, or none was measured",
            null=_SAME,
        ),
        MetricValue(
            id=f"cosine.{what}_excluded@1",
            unit="share",
            n_of="tokens",
            undefined="no token was measured",
        ),
    )
