"""Sums over the tokens of each document, in float64, with little memory."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from harness.contract import Batch

_PIECE = 2**21
"""Numbers that are made float64 at a time."""


def documents_of(batch: Batch) -> Int[Tensor, " selected"]:
    """For each selected token, the index of its document."""
    return batch.document[batch.selected.to(batch.document.device)]


def selected(batch: Batch, x: Float[Tensor, "tokens d"]) -> Float[Tensor, "selected d"]:
    """The selected rows; without filters all of them, uncopied."""
    if len(batch.selected) == len(x):
        return x
    return x[batch.selected.to(x.device)]


def wide(x: Shaped[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The same in float64, on the CPU where the device has none (Apple's)."""
    return (x.cpu() if x.device.type == "mps" else x).to(torch.float64)


def sums(batch: Batch, values: Shaped[Tensor, "selected ..."]) -> Float[Tensor, "documents ..."]:
    """Σ of `values` over the tokens of each document."""
    size = (len(batch.documents), *values.shape[1:])
    device = "cpu" if values.device.type == "mps" else values.device
    out = torch.zeros(size, dtype=torch.float64, device=device)
    document = documents_of(batch).to(device)
    for piece in pieces(values):
        out.index_add_(0, document[piece], wide(values[piece]))
    return out


def counts(batch: Batch) -> Float[Tensor, " documents"]:
    """The number of selected tokens of each document."""
    return torch.bincount(documents_of(batch), minlength=len(batch.documents)).cpu().double()


def pieces(values: Shaped[Tensor, "tokens ..."]) -> list[slice]:
    """Slices of rows that are small enough to copy in float64."""
    step = max(1, _PIECE * len(values) // max(1, values.numel()))
    return [slice(start, start + step) for start in range(0, len(values), step)]
