"""Histograms that add up, and quantiles read from them."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor

from harness.contract import Batch
from harness_metrics import documents


def counts(
    batch: Batch, bins: Int[Tensor, " selected"], size: int
) -> Float64[Tensor, "documents size"]:
    """How many selected tokens of each document fall into each bin; a bin of −1 is none."""
    inside = bins >= 0
    places = documents.documents_of(batch).to(bins.device)[inside] * size + bins[inside]
    found = torch.bincount(places, minlength=len(batch.documents) * size)
    return found.reshape(len(batch.documents), size).cpu().double()


def quantile(
    histogram: Float64[np.ndarray, "draws bins"], share: float
) -> Float64[np.ndarray, " draws"]:
    """The place of a quantile: bin i holds [i, i + 1), evenly; NaN where nothing was counted.

    The smallest place with at least `share` of everything at or below it.
    """
    below = histogram.cumsum(1)
    total = below[:, -1]
    wanted = share * total
    # Weights of replicates are whole numbers, so only the product needs room for rounding.
    bin_ = (below < (wanted - 1e-9 * total)[:, None]).sum(1).clip(max=histogram.shape[1] - 1)
    rows = np.arange(len(histogram))
    inside = histogram[rows, bin_]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = (wanted - (below[rows, bin_] - inside)) / inside
    return np.where(total > 0, bin_ + part.clip(0, 1), np.nan)
