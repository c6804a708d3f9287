"""Which pre-activations are active, as pure functions: a matrix in, flat positions out.

Positions count along the rows: `row · d_sae + latent`, ascending. Each function has a numpy form
for the CPU, where comparing and finding are ten times as fast as in torch, and a torch form for
accelerators. Both are exact and give the same positions, ties in `top` apart.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract.latents import Latents, offsets_of

_BLOCK = 2**20
"""Numbers of a block of rows: 4 MB in float32."""


def above(
    a: Float[Tensor, "rows d_sae"], threshold: Float[Tensor, " d_sae"]
) -> Int[Tensor, " nnz"]:
    """Positions with `a > threshold`, strictly."""
    if a.device.type == "cpu":
        limit = threshold.numpy()
        return _in_blocks(lambda block: np.flatnonzero(np.greater(block, limit)), a)
    return (a > threshold).flatten().nonzero().squeeze(1)


def top(a: Float[Tensor, "rows d_sae"], k: int) -> Int[Tensor, " nnz"]:
    """Positions of the k largest of each row, those that are positive: TopK, then ReLU."""
    if a.device.type == "cpu":
        return _in_blocks(lambda block: _top_numpy(block, k), a)
    return _top_torch(a, k)


def group_maxima(a: Float[Tensor, "rows d_sae"], groups: int) -> Int[Tensor, " nnz"]:
    """Positions of the largest of each group of d_sae/groups neighbours, those that are positive.

    Between equal maxima either may be taken.
    """
    rows, width = a.shape
    size = width // groups
    values, inside = a.view(rows, groups, size).max(dim=2)
    starts = torch.arange(rows * groups, device=a.device).view(rows, groups) * size
    positions: Tensor = starts + inside
    return positions[values > 0]


def active(a: Float[Tensor, "rows d_sae"], positions: Int[Tensor, " nnz"]) -> Latents:
    """The latents of some rows that are active at these positions, with their values."""
    rows, width = a.shape
    if a.device.type == "cpu":
        # In numpy: torch's threads would have to wake up for each of these short steps.
        flat = positions.numpy()
        row = flat // width
        found = np.bincount(row, minlength=rows), flat - row * width, a.numpy().reshape(-1)[flat]
        counts, indices, values = map(torch.from_numpy, found)
    else:
        token = positions // width
        counts = torch.bincount(token, minlength=rows)
        indices, values = positions - token * width, a.flatten()[positions]
    return Latents(offsets_of(counts), indices, values, width)


def _top_torch(a: Tensor, k: int) -> Tensor:
    values, latents = a.topk(k, dim=1, sorted=False)
    rows = torch.arange(len(a), device=a.device)[:, None]
    positions = (rows * a.shape[1] + latents)[values > 0]
    return positions.sort().values


def _in_blocks(find: Callable[[np.ndarray], np.ndarray], a: Tensor) -> Tensor:
    """Positions found in blocks of rows, on as many threads as torch uses.

    numpy works on one thread, beside a product that torch spreads over all; it lets others run
    meanwhile. A block also stays in the cache from one step to the next.
    """
    rows, width = a.shape
    step = max(1, _BLOCK // width)
    if rows <= step:
        return torch.from_numpy(find(a.numpy()))
    starts = range(0, rows, step)
    blocks = [a.numpy()[start : start + step] for start in starts]
    with ThreadPoolExecutor(min(torch.get_num_threads(), len(blocks))) as pool:
        found = list(pool.map(find, blocks))
    moved = [part + start * width for part, start in zip(found, starts, strict=True)]
    return torch.from_numpy(np.concatenate(moved))


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
    # What is not positive is never active: no need to look below 0.
    positions = np.flatnonzero(np.greater_equal(a, np.maximum(bound, 0)[:, None]))
    values = a.reshape(-1)[positions]
    positive = values > 0
    positions, values = positions[positive], values[positive]
    return _kept(values, positions, positions // width, rows, k)


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
