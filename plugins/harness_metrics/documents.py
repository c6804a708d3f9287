"""Sums over the tokens of each document, and lengths of rows: in float64, with little memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Shaped
from torch import Tensor

from harness.contract import Batch
from harness.contract.latents import Latents

_PIECE = {"cpu": 2**16}
"""Numbers that are made float64 at a time: on a CPU, what stays in its cache."""
_PIECE_ELSEWHERE = 2**24
"""On an accelerator each piece costs the time of its launches."""
SMALLEST = 1e-13
"""A difference of squares below this share of the squares is rounding: activations are float32."""


TOO_WIDE = "it is made of sums as wide as the SAE, which are kept for the data alone"
"""Why a value has no interval."""


def documents_of(batch: Batch) -> Int[Tensor, " selected"]:
    """For each selected token, the index of its document."""
    return batch.document[batch.selected.to(batch.document.device)]


def selected(batch: Batch, x: Float[Tensor, "tokens ..."]) -> Float[Tensor, "selected ..."]:
    """The selected rows; without filters all of them, uncopied."""
    if len(batch.selected) == len(x):
        return x
    return x[batch.selected.to(x.device)]


def wide(x: Shaped[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The same in float64, on the CPU where the device has none (Apple's)."""
    return (x.cpu() if x.device.type == "mps" else x).to(torch.float64)


def sums(batch: Batch, values: Shaped[Tensor, "selected ..."]) -> Float[Tensor, "documents ..."]:
    """Σ of `values` over the selected tokens of each document."""
    return sums_by(values, documents_of(batch), len(batch.documents))


def all_sums(batch: Batch, values: Shaped[Tensor, "tokens ..."]) -> Float[Tensor, "documents ..."]:
    """Σ of `values` over all measured tokens of each document, before any filter."""
    return sums_by(values, batch.document, len(batch.documents))


def counts(batch: Batch) -> Float[Tensor, " documents"]:
    """The number of selected tokens of each document."""
    return torch.bincount(documents_of(batch), minlength=len(batch.documents)).cpu().double()


def all_counts(batch: Batch) -> Float[Tensor, " documents"]:
    """The number of measured tokens of each document."""
    return torch.bincount(batch.document, minlength=len(batch.documents)).cpu().double()


def latent_sums(latents: Latents, values: Shaped[Tensor, " nnz"]) -> Float[Tensor, "1 d_sae"]:
    """Σ over the selected tokens of a number for each active latent, for a sum `total.…`."""
    weights = wide(values)
    places = latents.indices.to(weights.device)
    return torch.bincount(places, weights, minlength=latents.d_sae)[None]


def without_draws(value: Float[np.ndarray, " known"], draws: int) -> Float[np.ndarray, " draws"]:
    """Values of the first draws, NaN for the rest: of sums too wide to be kept for every draw.

    The names of such sums begin with `total.`; they are kept for the data alone, the first draw.
    """
    return np.pad(value, (0, draws - len(value)), constant_values=np.nan)


def ratio(
    total: Float[np.ndarray, " draws"], n: Float[np.ndarray, " draws"]
) -> Float[np.ndarray, " draws"]:
    """`total / n` of each draw; NaN, which is undefined, where n is not above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(n > 0, total / n, np.nan)


def sums_by(
    values: Shaped[Tensor, "rows ..."], group: Int[Tensor, " rows"], groups: int
) -> Float[Tensor, "groups ..."]:
    """Σ of the rows of each group."""
    device = torch.device("cpu") if values.device.type == "mps" else values.device
    out = torch.zeros((groups, *values.shape[1:]), dtype=torch.float64, device=device)
    step = at_once(values)
    for piece, where in zip(values.split(step), group.to(device).split(step), strict=True):
        out.index_add_(0, where, wide(piece))
    return out


def squared_norm(x: Float[Tensor, "tokens d"]) -> Float64[Tensor, " tokens"]:
    """‖x‖² of each token."""
    return by_token(lambda wide: wide.square_().sum(1), x)


def squared_error(
    x: Float[Tensor, "tokens d"], y: Float[Tensor, "tokens d"]
) -> Float64[Tensor, " tokens"]:
    """‖x − y‖² of each token."""
    return by_token(lambda wide, other: wide.sub_(other).square_().sum(1), x, y)


def by_token(
    function: Callable[..., Tensor], *rows: Float[Tensor, "tokens d"]
) -> Float64[Tensor, "... tokens"]:
    """What a function makes of rows in float64; it gets a few of them at a time."""
    pieces = zip(*(each.split(at_once(rows[0])) for each in rows), strict=True)
    return torch.cat([function(*map(wide, piece)) for piece in pieces], -1)


def at_once(values: Shaped[Tensor, "tokens ..."]) -> int:
    """How many rows are few enough to be copied in float64."""
    most = _PIECE.get(values.device.type, _PIECE_ELSEWHERE)
    return max(1, most * len(values) // max(1, values.numel()))
