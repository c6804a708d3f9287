"""How far the latents of both sides are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness.contract.latents import common, row_sums
from harness_metrics import documents
from harness_metrics.options import L1DivergenceOptions

_NONE = "no token was selected"
_NOTHING = f"no latent is active on either side, or {_NONE}"
_SAME = {"kind": "identical", "value": 0.0}


class L1Divergence:
    """Adds up how far each latent moved, as a share of what there is and per token.

    `l1_divergence.normalized`: `Σ_t Σ_j |b_tj − c_tj| / Σ_t Σ_j (|b_tj| + |c_tj|)`, with b, c the
    latents of the left and the right side. 0: nothing moved; 1: no latent is active on both sides
    (with the same sign). `l1_divergence.raw`: `mean_t Σ_j |b_tj − c_tj|`.

    Unit: ratio, 0 to 1; raw in units of the latents. Symmetric. 0 when both sides are the same
    model. Normalised undefined where nothing is active.

    Source: METHODS section 5 ("sum of absolute differences", bounded so that a threshold of 0.30
    means something).
    """

    values = (
        MetricValue("l1_divergence.normalized@1", "ratio", "tokens", _NOTHING, _SAME),
        MetricValue("l1_divergence.raw@1", "latent units", "tokens", _NONE, _SAME),
    )

    def __init__(self, options: L1DivergenceOptions, target: Target) -> None:
        assert target.sae is not None, "l1_divergence is measured on an SAE"
        self._site, self._sae = target.site, target.sae

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """Σ|b − c|, Σ(|b| + |c|) and the number of tokens of each document."""
        assert batch.right is not None, "l1_divergence is measured on pairs"
        left, right = (one.latents(self._sae, self._site) for one in (batch.left, batch.right))
        size = row_sums(left, left.values.abs()) + row_sums(right, right.values.abs())
        # Exactly 0 of equal latents: their sizes add up in the same order.
        moved = (size - 2 * common(left, right)).clamp(min=0)
        return {
            "n": documents.counts(batch),
            "moved": documents.sums(batch, moved),
            "size": documents.sums(batch, size),
        }

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """`moved / size` and `moved / n`."""
        moved = sums["moved"]
        return [documents.ratio(moved, sums["size"]), documents.ratio(moved, sums["n"])]
