"""Squared lengths of rows and of their differences, in float64, a few rows at a time."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from harness_metrics import documents

SMALLEST = 1e-13
"""A difference of squares below this share of the squares is rounding: activations are float32."""


def squared_norm(x: Float[Tensor, "tokens d"]) -> Float64[Tensor, " tokens"]:
    """‖x‖² of each token."""
    return _joined([documents.wide(x[p]).square_().sum(1) for p in documents.pieces(x)])


def squared_error(
    x: Float[Tensor, "tokens d"], y: Float[Tensor, "tokens d"]
) -> Float64[Tensor, " tokens"]:
    """‖x − y‖² of each token."""
    return _joined(
        [
            documents.wide(x[p]).sub_(documents.wide(y[p])).square_().sum(1)
            for p in documents.pieces(x)
        ]
    )


def _joined(parts: list[Tensor]) -> Float64[Tensor, " tokens"]:
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)
