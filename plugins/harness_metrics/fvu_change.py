"""How much of what fine-tuning changed, an SAE's latents do not rebuild."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness_metrics import documents, histogram
from harness_metrics.documents import SMALLEST, squared_error, squared_norm
from harness_metrics.options import FvuChangeOptions

POOLED, CENTERED, CORRELATION, INDEPENDENT, FLOOR, ABOVE, MEDIAN = (
    f"fvu_change.{name}@1"
    for name in (
        "pooled",
        "centered",
        "errors_correlation",
        "independent",
        "floor",
        "share_above",
        "median",
    )
)
HALF = 0.5
"""`share_above` counts the tokens whose own ratio is above this."""
LOWEST, HIGHEST, WIDTH = math.log(1e-3), math.log(1e3), 0.02
"""The histogram of ln(ratio), and the width of its bins; what is beyond counts at its ends."""
_BINS = math.ceil((HIGHEST - LOWEST) / WIDTH)
_AGREE = "both sides have the same activations, or no token was selected: nothing changed"
_VALUES = {
    POOLED: MetricValue(POOLED, "ratio", "tokens", _AGREE),
    CENTERED: MetricValue(
        CENTERED, "ratio", "tokens", f"{_AGREE}; or every token changed by the same vector"
    ),
    CORRELATION: MetricValue(
        CORRELATION,
        "correlation",
        "tokens",
        "the SAE makes no error on one of the sides, or no token was selected",
        {"kind": "identical", "value": 1.0},
    ),
    INDEPENDENT: MetricValue(INDEPENDENT, "ratio", "tokens", _AGREE),
    FLOOR: MetricValue(FLOOR, "ratio", "tokens", _AGREE),
    ABOVE: MetricValue(ABOVE, "share", "tokens", _AGREE),
    MEDIAN: MetricValue(
        MEDIAN, "ratio", "tokens", f"{_AGREE}; or the median is not between 0.001 and 1000"
    ),
}
_CHOSEN = {
    "pooled": (POOLED,),
    "centered": (CENTERED,),
    "errors": (CORRELATION, INDEPENDENT),
    "tokens": (ABOVE, MEDIAN),
}
"""By variant, what it gives."""


class FvuChange:
    """Divides what an SAE misses of the change of each token by that change: 0 is all explained.

    With l, r: Float[Tensor, "tokens d"] both sides' activations at the target's site, Δh = r − l,
    ε = x − x̂ the error of the SAE on a side, Δε = ε_r − ε_l, and t the selected tokens,

    | value | formula |
    |---|---|
    | `fvu_change.pooled` | `Σ_t ‖Δε_t‖² / Σ_t ‖Δh_t‖²`, not centred, never clipped |
    | `fvu_change.centered` | the same of Δε and Δh less their means: without the mean shift |
    | `fvu_change.errors_correlation` | `Σ_t ε_r·ε_l / √(Σ_t ‖ε_r‖² Σ_t ‖ε_l‖²)` |
    | `fvu_change.independent` | `Σ_t (‖ε_r‖² + ‖ε_l‖²) / Σ_t ‖Δh_t‖²`: `pooled` at correlation 0 |
    | `fvu_change.floor` | `Σ_t ‖ε(l̃_t) − ε(l_t)‖² / Σ_t ‖Δh_t‖²`, l̃ = l ⊙ (1 ± half a step) |
    | `fvu_change.share_above` | the share of tokens whose own `‖Δε‖²/‖Δh‖²` is above 0.5 |
    | `fvu_change.median` | the median over tokens of `‖Δε‖²/‖Δh‖²`, to 1% |

    The bias of the decoder cancels in Δĥ = x̂_r − x̂_l. Since `‖Δε‖² = ‖ε_r‖² + ‖ε_l‖² − 2 ε_r·ε_l`,
    the number may be far above 1 where the SAE fits both sides well, and falls when it makes the
    same errors on both: read it beside the correlation and `independent`. `explained_ratio` is the
    same without the left side's error taken off. A latent that goes on or off at its threshold
    adds to the numerator, however little the activation moved. `floor` is what half a step of the
    dtype `floor` adds in that way: each number of the left side made larger or smaller by that
    share of itself, in one pattern of signs, at the tokens that changed. A change near its floor
    is not one that this SAE's latents can tell from rounding.

    Unit: ratio, from 0 without an upper limit; 0 where the SAE rebuilds the change, 1 where it
    says nothing of it. Undefined where both sides are the same model, to the rounding of float32
    (0/0); the correlation is then 1. Tokens that did not change have no ratio of their own; `n` of
    `share_above` and `median` counts the others. Not symmetric: `floor` moves the left side.

    Source: METHODS 2, section 5; of our own making, from the pieces of Feature Drift.
    """

    def __init__(self, options: FvuChangeOptions, target: Target) -> None:
        assert target.sae is not None, "fvu_change is measured on an SAE"
        self._target, self._sae = target, target.sae
        self._step: float | None = None
        if options.floor != "none":
            self._step = torch.finfo(getattr(torch, options.floor)).eps
        ids = [id for variant in options.variants for id in _CHOSEN[variant]]
        if self._step is not None:
            ids.append(FLOOR)
        self.values = tuple(_VALUES[id] for id in ids)
        self._ids = frozenset(ids)

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Σ of ‖Δh‖², ‖Δε‖², ‖ε‖² and ‖x‖² of both sides, and what the chosen values need."""
        assert batch.right is not None, "fvu_change is measured on pairs"
        site, sae = self._target.compared, self._sae
        sides = (batch.left, batch.right)
        left, right = (documents.selected(batch, one.x(site)) for one in sides)
        fits = [one.reconstruction(sae, self._target.site) for one in sides]
        right, fits[1] = right.to(left.device), fits[1].to(fits[0].device)
        change = squared_error(right, left)
        missed = documents.by_token(_missed, right, fits[1], left, fits[0])
        found = {
            "n": documents.counts(batch),
            "change": documents.sums(batch, change),
            "missed": documents.sums(batch, missed),
            "left.error": documents.sums(batch, squared_error(left, fits[0])),
            "right.error": documents.sums(batch, squared_error(right, fits[1])),
            "left": documents.sums(batch, squared_norm(left)),
            "right": documents.sums(batch, squared_norm(right)),
        }
        if CENTERED in self._ids:
            moved = documents.wide(right) - documents.wide(left)
            told = documents.wide(fits[1]) - documents.wide(fits[0])
            found["change.sum"] = documents.sums(batch, moved)
            found["missed.sum"] = documents.sums(batch, moved - told)
        differs = change > SMALLEST * (squared_norm(left) + squared_norm(right))
        if ABOVE in self._ids:
            above = differs & (missed > HALF * change)
            found[f"n.{ABOVE}"] = found[f"n.{MEDIAN}"] = documents.sums(batch, differs)
            found["above"] = documents.sums(batch, above)
            found["histogram"] = histogram.counts(batch, _bins(missed, change, differs), _BINS)
        if self._step is not None:
            found["floor"] = documents.sums(batch, self._floor(batch, fits[0]) * differs)
        return found

    def _floor(
        self, batch: Batch, fit: Float[Tensor, "selected d"]
    ) -> Float64[Tensor, " selected"]:
        """‖ε(l̃) − ε(l)‖² of each token: how far the error moves when what is read hardly does."""
        x = documents.selected(batch, batch.left.x(self._target.site))
        assert self._step is not None
        moved = x * (1 + self._step / 2 * signs(x.shape[1]).to(x))
        other = batch.left.decode(self._sae, batch.left.encode(self._sae, moved))
        if self._target.out is not None:  # a transcoder: what it writes to has not moved
            return squared_error(other, fit)
        return documents.by_token(_missed, moved, other.to(x.device), x, fit.to(x.device))

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """The chosen ratios of sums."""
        change, missed = sums["change"], sums["missed"]
        square = sums["left"] + sums["right"]
        errors = sums["left.error"] + sums["right.error"]
        exists = change > SMALLEST * square
        with np.errstate(divide="ignore", invalid="ignore"):
            found = {
                POOLED: np.where(exists, missed / change, np.nan),
                INDEPENDENT: np.where(exists, errors / change, np.nan),
                CORRELATION: _correlation(sums, errors),
            }
            if "change.sum" in sums:
                found[CENTERED] = _centered(sums, square)
            if "histogram" in sums:
                places = histogram.quantile(sums["histogram"], 0.5)
                inside = (places > 1) & (places < _BINS - 1)
                found[MEDIAN] = np.where(inside, np.exp(LOWEST + WIDTH * places), np.nan)
                found[ABOVE] = documents.ratio(sums["above"], sums[f"n.{ABOVE}"])
            if "floor" in sums:
                found[FLOOR] = np.where(exists, sums["floor"] / change, np.nan)
        return [found[value.id] for value in self.values]


def signs(width: int) -> Float[Tensor, " width"]:
    """The pattern of signs in which a side is moved: the same for all tokens, shards and runs."""
    drawn = np.random.default_rng(width).integers(0, 2, width)
    return torch.from_numpy(2.0 * drawn - 1).float()


def _missed(right: Tensor, right_fit: Tensor, left: Tensor, left_fit: Tensor) -> Tensor:
    """‖(r − x̂_r) − (l − x̂_l)‖² of each token; in float64, where nothing cancels that exists."""
    # Subtracted side by side, so that identical sides give exactly 0.
    return right.sub_(right_fit).sub_(left.sub_(left_fit)).square_().sum(1)


def _bins(
    missed: Float64[Tensor, " tokens"], change: Float64[Tensor, " tokens"], differs: Tensor
) -> Tensor:
    """The bin of ln(‖Δε‖²/‖Δh‖²) of each token; −1 for one that did not change."""
    ratio = missed / torch.where(differs, change, 1)
    bins = ((ratio.log() - LOWEST) / WIDTH).floor().clamp(0, _BINS - 1)
    return torch.where(differs, bins, -1).long()


def _correlation(
    sums: Mapping[str, np.ndarray], errors: Float64[np.ndarray, " draws"]
) -> Float64[np.ndarray, " draws"]:
    """Σ ε_r·ε_l by the identity, from the sums of three squares; in [−1, 1]."""
    size = np.sqrt(sums["left.error"] * sums["right.error"])
    there = size > SMALLEST * (sums["left"] + sums["right"])
    return np.where(there, ((errors - sums["missed"]) / (2 * size)).clip(-1, 1), np.nan)


def _centered(
    sums: Mapping[str, np.ndarray], square: Float64[np.ndarray, " draws"]
) -> Float64[np.ndarray, " draws"]:
    """The ratio of both sums of squares about their means."""
    change, missed = (
        sums[name] - np.square(sums[f"{name}.sum"]).sum(-1) / sums["n"]
        for name in ("change", "missed")
    )
    return np.where(change > SMALLEST * square, missed.clip(min=0) / change, np.nan)
