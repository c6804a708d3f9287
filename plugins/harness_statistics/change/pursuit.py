"""Orthogonal matching pursuit: vectors written with few rows of a dictionary, chosen greedily."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from harness.contract import Sae

Pieces = Callable[[], Iterator[Float64[Tensor, "rows d"]]]
"""Gives the unit rows of a dictionary, some at a time; the same at every call."""
_PIECE = 2**22
"""Numbers of a dictionary, and of products with it, that are made at a time."""
_NOTHING = 1e-10
"""What is left of a row that already lies in the span of those chosen before."""


@dataclass(frozen=True)
class Pursued:
    """What is left of unit vectors after each step."""

    left: Float64[np.ndarray, "vectors steps"]
    """Squared length of the residual after 1, 2, … rows, refitted by least squares."""
    chosen: Int64[np.ndarray, "vectors steps"]
    """The row that was added at each step."""


def pursued(units: Float64[np.ndarray, "vectors d"], pieces: Pieces, steps: int) -> Pursued:
    """Writes each vector with `steps` rows: always the one with the largest |cos| to what is left.

    Coefficients may be negative, and are refitted at every step: the residual is kept orthogonal
    to all rows chosen so far, by Gram-Schmidt, done twice so that rounding does not add up.
    Source: Pati, Rezaiifar and Krishnaprasad 1993.
    """
    residual = torch.from_numpy(np.array(units, dtype=np.float64))
    basis = residual.new_zeros(len(residual), steps, residual.shape[1])
    left = np.ones((len(residual), steps))
    chosen = np.zeros((len(residual), steps), np.int64)
    for step in range(steps):
        index, row = _nearest(residual, pieces)
        known = basis[:, :step]
        for _ in range(2):
            row = row - torch.einsum("nk,nkd->nd", torch.einsum("nkd,nd->nk", known, row), known)
        length = row.norm(dim=1, keepdim=True)
        unit = torch.where(length > _NOTHING, row / length.clamp(min=_NOTHING), 0)
        basis[:, step] = unit
        residual = residual - (residual * unit).sum(1, keepdim=True) * unit
        left[:, step] = residual.square().sum(1).numpy()
        chosen[:, step] = index.numpy()
    return Pursued(left, chosen)


def _nearest(residual: Float64[Tensor, "n d"], pieces: Pieces) -> tuple[Tensor, Tensor]:
    """For each vector the row with the largest |product|, the first of equals: index and row.

    The products alone are float32, twice as fast: of rows as near as its rounding any one will do.
    """
    best = residual.new_full((len(residual),), -1.0, dtype=torch.float32)
    index = torch.zeros(len(residual), dtype=torch.long)
    rows = torch.zeros_like(residual)
    start, short = 0, residual.float()
    for piece in pieces():
        step, columns = max(1, _PIECE // max(1, len(piece))), piece.float().T
        for first in range(0, len(residual), step):
            some = slice(first, first + step)
            size, place = (short[some] @ columns).abs().max(1)
            better = size > best[some]
            best[some] = torch.where(better, size, best[some])
            index[some] = torch.where(better, start + place, index[some])
            rows[some] = torch.where(better[:, None], piece[place], rows[some])
        start += len(piece)
    return index, rows


def decoder(sae: Sae) -> Pieces:
    """The unit decoder rows of an SAE; a row of length 0 stays 0, and is never chosen."""
    d_sae = sae.facts.d_sae
    assert d_sae is not None, "a loaded SAE knows its width"

    def pieces() -> Iterator[Float64[Tensor, "rows d"]]:
        width = sae.rows(torch.arange(1)).shape[1]
        step = max(1, _PIECE // width)
        for start in range(0, d_sae, step):
            rows = sae.rows(torch.arange(start, min(start + step, d_sae))).detach().cpu().double()
            yield rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-300)

    return pieces


def random_rows(count: int, width: int, seed: int) -> Pieces:
    """As many random unit vectors, uniform on the sphere; drawn anew, the same ones, each time."""

    def pieces() -> Iterator[Float64[Tensor, "rows d"]]:
        step = max(1, _PIECE // width)
        for place, start in enumerate(range(0, count, step)):
            draws = np.random.default_rng([seed % 2**64, place])
            rows = torch.from_numpy(draws.standard_normal((min(step, count - start), width)))
            yield rows / rows.norm(dim=1, keepdim=True)

    return pieces
