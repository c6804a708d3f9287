"""Which closing tokens a batch has: their positions counted from the end, and their ids."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor

from harness.contract import Batch, State

POSITIONS = 64
"""Closing tokens whose ids are kept."""
CLOSING = "closing_"
"""How the sums of the ids of closing tokens are called in a state, at their beginning."""


def from_the_end(batch: Batch) -> Int[Tensor, " selected"]:
    """For each selected token, its position counted from the last one of its document: −1, −2, …"""
    document, place = batch.document[batch.selected], batch.position[batch.selected]
    last = torch.full((len(batch.documents),), -1, dtype=torch.int64)
    last = last.scatter_reduce(0, document, place, "amax")
    return place - last[document] - 1


def id_sums(
    ids: Int[Tensor, " tokens"], from_end: Int[Tensor, " tokens"], positions: int
) -> Mapping[str, Int[Tensor, " positions"]]:
    """Sums that tell whether all tokens of a position have one id, and which.

    Position −k is entry positions − k; `from_end` lies within.
    """
    at, zeros = from_end + positions, torch.zeros(positions, dtype=torch.int64)
    return {
        "tokens": zeros.index_add(0, at, torch.ones_like(ids)),
        "ids": zeros.index_add(0, at, ids),
        "squares": zeros.index_add(0, at, ids * ids),
    }


def same_ids(state: State, prefix: str, positions: int) -> list[int | None]:
    """For each position from the first to −1, the id that every token there has; None where there
    is no token, or where they differ."""
    if f"{prefix}tokens" not in state:
        return [None] * positions
    columns = (state[f"{prefix}{name}"].tolist() for name in ("tokens", "ids", "squares"))
    # The mean of squares is the square of the mean for equal ids alone. Exact: Python's integers.
    return [
        ids // tokens if tokens > 0 and tokens * squares == ids * ids else None
        for tokens, ids, squares in zip(*columns, strict=True)
    ]
