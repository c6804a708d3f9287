"""How much of what fine-tuning changed, the base model's SAE does not explain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness_metrics import documents, histogram
from harness_metrics.documents import SMALLEST, squared_error, squared_norm
from harness_metrics.options import ExplainedRatioOptions
from harness_metrics.scale_grid import ScaleGrid

MEAN, EACH, MEDIAN = (
    f"explained_ratio.{name}@1" for name in ("ratio_of_means", "mean_of_ratios", "median")
)
SCALE = "explained_ratio.scale_ratio@1"
INTERVALS, COARSE = 64, 4
"""Intervals of the scale grid; the median is kept at every fourth node of it."""
TOLERANCE = 3e-4
"""Largest relative error at any node of the interpolation through half of them. It converges
geometrically: the one through all of them is then good to about the square of it, 1e-7. One place
alone would not tell: two interpolations may agree there and both be wrong."""
LOWEST, HIGHEST = math.log(0.01), math.log(100)
"""The histogram of ln(ratio); what is beyond counts in the first and the last bin."""
WIDE, NARROW = 0.04, 0.005
"""Widths of its bins: at each node of a grid, and where the scale is known and there is one node.
With 17 nodes, the noise of interpolation is larger than what narrow bins would save."""
T = TypeVar("T", Tensor, np.ndarray)
_AGREE = "the two models agree on every selected token, or none was selected"
_APART = "; or the scales of the two sides differ by more than a factor of 2: give scale_ratio"
_ROUGH = (
    "; or the models nearly agree on so many tokens that the mean is decided by them: filter "
    "with where.cosine_below, or give scale_ratio"
)
_EMPTY = "no token was measured, or one side is 0 everywhere"
_SAME = {"kind": "identical", "value": 1.0}
_FAR = "; or the median is not between 0.01 and 100"


@dataclass(frozen=True)
class Lengths:
    """Of each selected token, b the left activation and c the right one: Float64 [tokens]."""

    error: Float64[Tensor, " tokens"]
    """‖x_c − x̂_c‖²"""
    apart: Float64[Tensor, " tokens"]
    """‖x_c − x_b‖²"""
    right: Float64[Tensor, " tokens"]
    """‖x_c‖²"""
    left: Float64[Tensor, " tokens"]
    """‖x_b‖²"""

    @property
    def differs(self) -> Bool[Tensor, " tokens"]:
        """Whether the two differ by more than the rounding of float32."""
        return self.apart > SMALLEST * (self.left + self.right)

    def ratios(self, grid: ScaleGrid) -> Float64[Tensor, "tokens nodes"]:
        """Each token's ‖x_c − x̂_c‖² / ‖x_c − ρ x_b‖² at every ρ of a grid."""
        rho = torch.from_numpy(grid.ratios).to(self.apart.device)
        apart, right, left = (each[:, None] for each in (self.apart, self.right, self.left))
        return self.error[:, None] / scaled_difference(apart, right, left, rho)


def scaled_difference(apart: T, right: T, left: T, rho: T) -> T:
    """‖x_c − ρ x_b‖² from ‖x_c − x_b‖², ‖x_c‖² and ‖x_b‖², in which it is linear.

    `ρ·apart + (1 − ρ)·right + ρ(ρ − 1)·left`: it does not cancel where ρ is near 1.
    """
    found: T = rho * apart + (1 - rho) * right + rho * (rho - 1) * left
    return found


class ExplainedRatio:
    """Divides what the SAE fails to reconstruct of the right side by how far the sides differ.

    With b the left (base) side, c the right (fine-tuned) one, x̂_c the reconstruction of the raw
    x_c: Float[Tensor, "tokens d"], s_m the scale of side m and t the selected tokens,

    | value | formula |
    |---|---|
    | `explained_ratio.ratio_of_means` | `Σ_t ‖(x_c − x̂_c)/s_c‖² / Σ_t ‖x_c/s_c − x_b/s_b‖²` |
    | `explained_ratio.mean_of_ratios` | the mean over tokens of the ratio of each |
    | `explained_ratio.median` | the median over tokens of the ratio of each |
    | `explained_ratio.scale_ratio` | `s_c / s_b` as measured (of `rms` where `norm` is `none`) |

    `norm`: `rms` (default) `s_m = √(E ‖x_m‖²)`, E over *all* measured tokens, before any filter;
    `msq`, the paper's letter, `s_m = E ‖x_m‖²`, which depends on the unit of the activations;
    `none`, 1. `scale_ratio` puts a known s_c/s_b in its place, such as that of an earlier run.

    `input = "rescaled"` lets the SAE read `x_c s_b/s_c` and brings its x̂ back to the scale of c:
    the same ratio, compared in the left side's units.

    The scales are known at the end only. `ratio_of_means` is exact all the same:
    `‖x_c − ρ x_b‖² = ρ‖x_c − x_b‖² + (1 − ρ)‖x_c‖² + ρ(ρ − 1)‖x_b‖²` with ρ = s_c/s_b is linear in
    sums. The other two are kept on a grid of ρ and interpolated (see `scale_grid`): the mean to a
    relative 1e-6, filtered or not, or else it is undefined; the median, from histograms between
    0.01 and 100, to about 1% with 2,000 tokens and 0.3% with 20,000, a small part of its interval.
    With `norm = "none"` or a `scale_ratio` nothing is interpolated: the mean is exact, the median
    within a bin of 0.5%. Tokens on which the two sides agree to the precision of
    float32 have no ratio of their own and are left out there; `n` counts the others.

    Unit: ratio, from 0 without an upper limit. Lower: the SAE explains the change better; at 1 its
    error is as large as the change. Not symmetric. Undefined where the two models agree.

    Source: Feature Drift, eq. 3, whose tokens are those with cosine below 0.9
    (`where = { cosine_below = 0.9 }`); METHODS section 1.
    """

    def __init__(self, options: ExplainedRatioOptions, target: Target) -> None:
        assert target.sae is not None, "explained_ratio is measured on an SAE"
        self._target, self._sae = target, target.sae
        self._norm = options.norm
        self._known = options.known_ratio
        self._rescaled = options.input == "rescaled"
        undefined = {MEAN: _AGREE, EACH: _AGREE, MEDIAN: _AGREE + _FAR}
        if self._known is None:
            self._grid, self._width = ScaleGrid.lobatto(INTERVALS), WIDE
            undefined[EACH] += _APART + _ROUGH
            undefined[MEDIAN] += _APART
        else:
            self._grid, self._width = ScaleGrid.known(math.log(self._known)), NARROW
        self._coarse = self._grid.every(COARSE)
        self._bins = math.ceil((HIGHEST - LOWEST) / self._width)
        chosen = [f"explained_ratio.{name}@1" for name in options.variants]
        self.values = (
            *(
                # The measured scale is that of all tokens, before any filter.
                MetricValue(id, "ratio", "tokens", undefined[id], unselected=self._known is None)
                for id in chosen
            ),
            MetricValue(SCALE, "ratio", "tokens", _EMPTY, _SAME, unselected=True),
        )

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Squared lengths over selected tokens, and over all (`all.*`), of each document."""
        assert batch.right is not None, "explained_ratio is measured on pairs"
        sides = [one.x(self._target.compared) for one in (batch.left, batch.right)]
        left, right = map(squared_norm, sides)
        b, c = (documents.selected(batch, x) for x in sides)
        lengths = Lengths(
            squared_error(c, self._reconstruction(batch, batch.right)),
            squared_error(c, b),
            documents.selected(batch, right),
            documents.selected(batch, left),
        )
        found = {
            "n": documents.counts(batch),
            "all.left": documents.all_sums(batch, left),
            "all.right": documents.all_sums(batch, right),
            f"n.{SCALE}": documents.all_counts(batch),
        }
        for name, each in vars(lengths).items():
            found[name] = documents.sums(batch, each)
        ids = {value.id for value in self.values}
        differs = lengths.differs
        for id in {EACH, MEDIAN} & ids:
            found[f"n.{id}"] = documents.sums(batch, differs.double())
        if EACH in ids:
            ratios = torch.where(differs[:, None], lengths.ratios(self._grid), 0)
            found["ratios"] = documents.sums(batch, ratios)
        if MEDIAN in ids:
            found["histogram"] = self._histogram(batch, lengths)
        return found

    def _reconstruction(self, batch: Batch, side: Side) -> Float[Tensor, "selected d"]:
        if not self._rescaled:
            return side.reconstruction(self._sae, self._target.site)
        assert self._known is not None
        x = documents.selected(batch, side.x(self._target.site)) / self._known
        return side.decode(self._sae, side.encode(self._sae, x)) * self._known

    def _histogram(self, batch: Batch, lengths: Lengths) -> Float[Tensor, "documents nodes bins"]:
        ratios = lengths.ratios(self._coarse)
        bins = ((ratios.log() - LOWEST) / self._width).floor().clamp(0, self._bins - 1)
        bins = torch.where(lengths.differs[:, None], bins, -1).long()
        columns = [histogram.counts(batch, column, self._bins) for column in bins.unbind(1)]
        return torch.stack(columns, 1)

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """The chosen ratios, then the right side's scale over the left one's."""
        with np.errstate(divide="ignore", invalid="ignore"):
            measured = sums["all.right"] / np.where(sums["all.left"] > 0, sums["all.left"], np.nan)
            scale = measured if self._norm == "msq" else np.sqrt(measured)
            scale = np.where(scale > 0, scale, np.nan)
            rho = scale if self._known is None else np.full_like(scale, self._known)
            found = {SCALE: scale, MEAN: _ratio_of_means(sums, rho)}
            if "ratios" in sums:
                found[EACH] = self._mean_of_ratios(sums, np.log(rho))
            if "histogram" in sums:
                found[MEDIAN] = self._median(sums, np.log(rho))
        return [found[value.id] for value in self.values]

    def _mean_of_ratios(
        self, sums: Mapping[str, np.ndarray], u: Float64[np.ndarray, " draws"]
    ) -> Float64[np.ndarray, " draws"]:
        n = sums[f"n.{EACH}"]
        fine = self._grid.at(u, sums["ratios"])
        good = self._grid.halving_error(sums["ratios"]) <= TOLERANCE * np.abs(fine)
        return np.where((n > 0) & good, fine / n, np.nan)

    def _median(
        self, sums: Mapping[str, np.ndarray], u: Float64[np.ndarray, " draws"]
    ) -> Float64[np.ndarray, " draws"]:
        nodes = [histogram.quantile(node, 0.5) for node in sums["histogram"].swapaxes(0, 1)]
        places = self._coarse.at(u, np.stack(nodes, 1))
        inside = (places > 1) & (places < self._bins - 1)
        return np.where(inside, np.exp(LOWEST + self._width * places), np.nan)


def _ratio_of_means(
    sums: Mapping[str, np.ndarray], rho: Float64[np.ndarray, " draws"]
) -> Float64[np.ndarray, " draws"]:
    apart, right, left = (sums[name] for name in ("apart", "right", "left"))
    change = scaled_difference(apart, right, left, rho)
    exists = (change > SMALLEST * (right + rho**2 * left)) & (apart > SMALLEST * (right + left))
    return np.where(exists, sums["error"] / change, np.nan)
