"""Which of an SAE's latents are never active."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Batch, MetricValue, Side, Target
from harness_metrics import documents
from harness_metrics.options import DeadShareOptions

_NO_INTERVAL = (
    "documents that are drawn again never show a latent that the data do not: no draw could be "
    "below the number"
)


class DeadShare:
    """Counts the latents that are active at no token, out of all.

    `dead_share`: `|{j : z_tj = 0 for every selected token t}| / d_sae`, z: the SAE's latents at the
    target's site. It falls as more is read: a latent that is active on one of N tokens is missed by
    n tokens with a chance of about e^(−n/N). So compare sides and runs of as many tokens.

    Unit: share, 0 to 1. Undefined where nothing was measured. One-sided. It has no interval: the
    union over documents that are drawn again is never larger than over the data.

    Source: the "dead features" of Bricken et al. 2023, Towards Monosemanticity.
    """

    values = (
        MetricValue(
            "dead_share@1", "share", "tokens", "no token was measured", no_interval=_NO_INTERVAL
        ),
    )

    def __init__(self, options: DeadShareOptions, target: Target) -> None:
        assert target.sae is not None, "dead_share is measured on an SAE"
        self._site, self._sae = target.site, target.sae

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Float[Tensor, "documents ..."]]:
        """The tokens of each document, and at how many tokens of all each latent is active."""
        latents = side.latents(self._sae, self._site)
        active = documents.latent_sums(latents, torch.ones_like(latents.values))
        return {"n": documents.counts(batch), "total.active": active}

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """The share of latents whose count is 0, of the data alone."""
        dead = (sums["total.active"] == 0).mean(1)
        known = np.where(sums["n"][: len(dead)] > 0, dead, np.nan)
        return [documents.without_draws(known, len(sums["n"]))]
