"""Which pre-activations are active, as pure functions: a matrix in, flat positions out.

Positions count along the rows: `row · d_sae + latent`, ascending. Each function has a numpy form
for the CPU, where comparing and finding are ten times as fast as in torch, and a torch form for
accelerators. Both are exact and give the same positions, ties in `top` apart.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def above(
    a: Float[Tensor, "rows d_sae"], threshold: Float[Tensor, " d_sae"]
) -> Int[Tensor, " nnz"]:
    """Positions with `a > threshold`, strictly."""
    if a.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(np.greater(a.numpy(), threshold.numpy())))
    return (a > threshold).flatten().nonzero().squeeze(1)


def top(a: Float[Tensor, "rows d_sae"], k: int) -> Int[Tensor, " nnz"]:
    """Positions of the k largest of each row, those that are positive: TopK, then ReLU."""
    if a.device.type == "cpu":
        return torch.from_numpy(_top_numpy(a.numpy(), k))
    return _top_torch(a, k)


def _top_torch(a: Tensor, k: int) -> Tensor:
    values, latents = a.topk(k, dim=1, sorted=False)
    rows = torch.arange(len(a), device=a.device)[:, None]
    positions = (rows * a.shape[1] + latents)[values > 0]
    return positions.sort().values


def _top_numpy(a: np.ndarray, k: int) -> np.ndarray:
    """The same in two steps, which reads the matrix twice instead of sorting its rows.

    Split a row into groups. k groups have a maximum of at least the k-th largest maximum t, so at
    least k values are ≥ t, so the k largest are among those ≥ t: a few more than k. Those alone
    are sorted.
    """
    rows, width = a.shape
    size = max(1, width // (16 * k))
    groups = width // size
    # Group g holds every `groups`-th value from g on: the maximum is then one of long vectors.
    maxima = a[:, : groups * size].reshape(rows, size, groups).max(axis=1)
    bound = np.partition(maxima, groups - k, axis=1)[:, groups - k]
    # No smaller than the smallest positive number: what is not positive is never active.
    bound = np.maximum(bound, np.finfo(a.dtype).smallest_subnormal)
    positions = np.flatnonzero(np.greater_equal(a, bound[:, None]))
    return _kept(a.reshape(-1)[positions], positions, positions // width, rows, k)


def _kept(
    values: np.ndarray, positions: np.ndarray, row: np.ndarray, rows: int, k: int
) -> np.ndarray:
    """The positions of the k largest candidates of each row; rows with fewer keep them all."""
    counts = np.bincount(row, minlength=rows)
    crowded = np.flatnonzero(counts > k)
    if not len(crowded):
        return positions
    # One row of candidates per crowded row, padded with what is never among the largest.
    most = int(counts.max())
    column = np.arange(most)
    inside = column < counts[crowded, None]
    place = np.where(inside, (counts.cumsum() - counts)[crowded, None] + column, 0)
    padded = np.where(inside, values[place], -np.inf)
    smallest = np.argpartition(padded, most - k, axis=1)[:, : most - k]
    dropped = np.take_along_axis(place, smallest, 1)[np.take_along_axis(inside, smallest, 1)]
    keep = np.ones(len(positions), dtype=bool)
    keep[dropped] = False
    return positions[keep]
