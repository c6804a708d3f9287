"""Whether the strongest latents are the same on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness.contract.latents import largest, shared
from harness_metrics import documents
from harness_metrics.options import LatentOverlapOptions

TOKEN, DATASET = (f"latent_overlap.{name}@1" for name in ("topk", "topk_dataset"))
_NOTHING = "no token has an active latent on either side, or none was selected"
_SAME = {"kind": "identical", "value": 1.0}
_VALUES = {
    TOKEN: MetricValue(TOKEN, "ratio", "tokens", _NOTHING, _SAME),
    DATASET: MetricValue(DATASET, "ratio", "tokens", _NOTHING, _SAME, documents.TOO_WIDE),
}


class LatentOverlap:
    """Compares the k largest latents of both sides, at each token and over all of them.

    `latent_overlap.topk`: `mean_t |S_b ∩ S_c| / |S_b ∪ S_c|` with S the min(k, active) latents of
    a token with the largest absolute values; tokens with nothing active on either side are left
    out and not counted in `n`. With a TopK SAE of fewer than k this is
    `intersection_ratio.per_token`.
    `latent_overlap.topk_dataset`: one such ratio, of the k latents with the largest mean absolute
    value over the selected tokens. Latents as large as the k-th all count, so ties decide nothing.

    Unit: ratio, 0 to 1. Symmetric. 1 when both sides are the same model. Undefined where nothing
    is active.

    Source: METHODS section 5 ("Jaccard of top-k active features", k = 128).
    """

    def __init__(self, options: LatentOverlapOptions, target: Target) -> None:
        assert target.sae is not None, "latent_overlap is measured on an SAE"
        self._site, self._sae = target.site, target.sae
        self._k = options.k
        self.values = tuple(_VALUES[f"latent_overlap.{name}@1"] for name in options.variants)

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Ratios, tokens that have one, and absolute values by latent, of each document."""
        assert batch.right is not None, "latent_overlap is measured on pairs"
        left, right = (one.latents(self._sae, self._site) for one in (batch.left, batch.right))
        found = {"n": documents.counts(batch)}
        if _VALUES[TOKEN] in self.values:
            top = [largest(latents, self._k) for latents in (left, right)]
            both = shared(*top)
            either = top[0].counts + top[1].counts - both
            ratio = documents.wide(both) / either.clamp(min=1)
            found["ratio"] = documents.sums(batch, ratio)
            found[f"n.{TOKEN}"] = documents.sums(batch, either > 0)
        if _VALUES[DATASET] in self.values:
            for name, latents in (("left", left), ("right", right)):
                values = latents.values.abs()
                found[f"total.{name}"] = documents.latent_sums(latents, values)
        return found

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """The mean ratio of tokens, and the ratio of the data's largest latents; those chosen."""
        found = {}
        if "ratio" in sums:
            found[TOKEN] = documents.ratio(sums["ratio"], sums[f"n.{TOKEN}"])
        if "total.left" in sums:
            # One draw at a time: the sums of all are as large as they should ever get.
            pairs = zip(sums["total.left"], sums["total.right"], strict=True)
            with np.errstate(invalid="ignore"):
                known = np.array([_jaccard(*pair, self._k) for pair in pairs])
            found[DATASET] = documents.without_draws(known, len(sums["n"]))
        return [found[value.id] for value in self.values]


def strongest(totals: Float[np.ndarray, " d_sae"], k: int) -> Bool[np.ndarray, " d_sae"]:
    """Which latents are among the k largest, and above 0."""
    at = max(0, len(totals) - k)
    among: np.ndarray = (totals >= np.partition(totals, at)[at]) & (totals > 0)
    return among


def _jaccard(
    left: Float[np.ndarray, " d_sae"], right: Float[np.ndarray, " d_sae"], k: int
) -> np.float64:
    one, other = strongest(left, k), strongest(right, k)
    return np.float64((one & other).sum()) / np.float64((one | other).sum())
