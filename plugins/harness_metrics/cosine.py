"""Cosines between two sides' activations, latents and reconstructions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness.contract.latents import dots, square_norms
from harness_metrics import documents, histogram
from harness_metrics.options import CosineOptions

KINDS = {
    "raw": "activations of length 0 on one side",
    "latent": "no active latent on one side",
    "recon": "a reconstruction of length 0 on one side",
}
"""What is compared, and where a token has no cosine of it; all but the first need an SAE."""
BELOW = "cosine.share_below@1"
QUANTILES = {f"cosine.quantile_{percent:02}@1": percent for percent in (5, 25, 50, 75, 95)}
"""In percent."""
BINS = 1024
"""Bins of the histogram of angles from 0 to π; angles of exactly 0 have one of their own."""
Found = tuple[Float64[Tensor, " tokens"], Bool[Tensor, " tokens"]]
"""Cosines, 0 where there is none, and where there is one."""


def cosines(
    product: Float[Tensor, " tokens"],
    left: Float[Tensor, " tokens"],
    right: Float[Tensor, " tokens"],
) -> Found:
    """x·y / (‖x‖‖y‖) of each token from x·y, ‖x‖² and ‖y‖², and where it exists; 0 elsewhere.

    One root of the product instead of two: of a vector with itself that is exactly 1.
    """
    defined = (left > 0) & (right > 0)
    length = (left * right).sqrt()
    return torch.where(defined, product / torch.where(defined, length, 1), 0), defined


def dense_cosines(left: Float[Tensor, "tokens d"], right: Float[Tensor, "tokens d"]) -> Found:
    """Cosines of rows; where both have a length."""

    def products(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([(x * y).sum(1), (x * x).sum(1), (y * y).sum(1)])

    return cosines(*documents.by_token(products, left, right))


class Cosine:
    """Compares the directions of two sides' activations, latents and reconstructions, by token.

    | value | formula |
    |---|---|
    | `cosine.raw` | `mean_t x_t·y_t / (‖x_t‖‖y_t‖)`, x, y: Float[Tensor, "tokens d"] at the site |
    | `cosine.latent`, `cosine.recon` | the same of one SAE's latents, of its reconstructions |
    | `cosine.share_below` | the share of tokens whose raw cosine is under `below` |
    | `cosine.quantile_05` … `_95` | quantiles of the raw cosine over tokens |

    Latents and reconstructions are measured where the target has an SAE. Tokens where a side has
    length 0 (no active latent) have no cosine: they are left out, `n` counts the others, and
    `cosine.raw_excluded` and its kin are the shares left out. Quantiles come from a histogram of
    the angle: they are off by 0.0031 at most, and by less than 0.001 above 0.95.

    Unit: cosine, −1 to 1; shares 0 to 1. Symmetric. 1 when both sides are the same model.
    Undefined where no token has one.

    Source: METHODS sections 1, 4 and 5 (the latent cosine is the headline of arXiv 2605.11426).
    """

    def __init__(self, options: CosineOptions, target: Target) -> None:
        self._target = target
        self._below = options.below
        kinds = KINDS if target.sae is not None else ("raw",)
        self._kinds = tuple(kind for kind in kinds if kind in options.variants)
        values = []
        for kind in self._kinds:
            values.append(_value(f"cosine.{kind}@1", kind))
            excluded = f"cosine.{kind}_excluded@1"
            values.append(MetricValue(excluded, "share", "tokens", "no token was measured"))
        of_raw = []
        if "share_below" in options.variants:
            of_raw.append(_value(BELOW, "raw", unit="share", null=0.0))
        if "quantiles" in options.variants:
            of_raw += [_value(id, "raw") for id in QUANTILES]
        self.values = (*values, *of_raw)
        self._of_raw = tuple(value.id for value in of_raw)

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Σcos over the tokens that have one, their number, and the number of all, by document."""
        assert batch.right is not None, "cosine is measured on pairs"
        sums = {"n": documents.counts(batch)}
        for kind in self._kinds:
            cosine, defined = self._cosines(kind, batch, batch.right)
            sums[f"cosine.{kind}@1"] = documents.sums(batch, cosine)
            sums[f"n.cosine.{kind}@1"] = documents.sums(batch, defined)
            if kind == "raw":
                sums |= self._distribution(batch, cosine, defined)
        if "raw" not in self._kinds and self._of_raw:
            sums |= self._distribution(batch, *self._cosines("raw", batch, batch.right))
        return sums

    def _cosines(self, kind: str, batch: Batch, right: Side) -> Found:
        sides, site, sae = (batch.left, right), self._target.site, self._target.sae
        if kind == "raw" or sae is None:
            x, y = (documents.selected(batch, one.x(site)) for one in sides)
            return dense_cosines(x, y)
        if kind == "latent":
            z, other = (one.latents(sae, site) for one in sides)
            return cosines(dots(z, other), square_norms(z), square_norms(other))
        return dense_cosines(*(one.reconstruction(sae, site) for one in sides))

    def _distribution(
        self, batch: Batch, cosine: Float64[Tensor, " tokens"], defined: Bool[Tensor, " tokens"]
    ) -> dict[str, Tensor]:
        n = documents.sums(batch, defined)
        sums = {f"n.{id}": n for id in self._of_raw}
        if BELOW in self._of_raw:
            sums[BELOW] = documents.sums(batch, defined & (cosine < self._below))
        if QUANTILES.keys() & self._of_raw:
            angle = cosine.clamp(-1, 1).arccos() * (BINS / math.pi)
            bins = torch.where(cosine < 1, angle.long().clamp(max=BINS - 1) + 1, 0)
            bins = torch.where(defined, bins, -1)
            sums["angles"] = histogram.counts(batch, bins, BINS + 1)
        return sums

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """Mean cosines, shares of tokens without one, the share below, and quantiles."""
        found = {}
        for kind in self._kinds:
            id, n = f"cosine.{kind}@1", sums["n"]
            defined = sums[f"n.{id}"]
            found[id] = documents.ratio(sums[id], defined)
            found[f"cosine.{kind}_excluded@1"] = 1 - documents.ratio(defined, n)
        if BELOW in sums:
            found[BELOW] = documents.ratio(sums[BELOW], sums[f"n.{BELOW}"])
        if "angles" in sums:
            for id, percent in QUANTILES.items():
                # A small cosine is a large angle.
                place = histogram.quantile(sums["angles"], 1 - percent / 100)
                angle = np.maximum(place - 1, 0) * (math.pi / BINS)
                found[id] = np.cos(angle)
        return [found[value.id] for value in self.values]


def _value(id: str, kind: str, unit: str = "cosine", null: float = 1.0) -> MetricValue:
    why = f"every token has {KINDS[kind]}, or none was measured"
    return MetricValue(id, unit, "tokens", why, {"kind": "identical", "value": null})
