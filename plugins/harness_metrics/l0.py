"""The number of active latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness_metrics import documents
from harness_metrics.options import L0Options


class L0:
    """Counts the latents that are active at a token, on average.

    `l0`: `mean_t |{j : z_tj ≠ 0}|`, with z: the SAE's latents at the target's site.

    Unit: latents, 0 to d_sae. Undefined where nothing was measured. One-sided.

    Source: METHODS section 1; "L0" of SAELens and Gemma Scope.
    """

    values = (MetricValue("l0@1", "latents", "tokens", "no token was measured"),)

    def __init__(self, options: L0Options, target: Target) -> None:
        assert target.sae is not None, "l0 is measured on an SAE"
        self._site, self._sae = target.site, target.sae

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """The number of active latents and of tokens of each document."""
        counts = side.latents(self._sae, self._site).counts
        return {"n": documents.counts(batch), "active": documents.sums(batch, counts)}

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """`active / n`."""
        return [documents.ratio(sums["active"], sums["n"])]
