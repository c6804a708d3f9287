"""Cells: how tokens and latents are divided among threads, each of which encodes some."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

ROWS, COLUMNS = 1024, 1024
"""Tokens and latents of one product at most: 4 MB of float32, which stay in a core's cache."""
ENOUGH = 512
"""Tokens of a thread for which it is worth to arrange all weights, as every product begins with:
a twentieth of its time. With fewer, each thread takes some of the latents instead."""


@dataclass(frozen=True)
class Cell:
    """Some tokens and some latents: what one thread encodes at a time."""

    rows: slice
    columns: slice


def cells(tokens: int, d_sae: int, threads: int) -> list[list[Cell]]:
    """Everything, as often as there are threads or more: for some tokens after others, the cells of
    all their latents, in order.

    Without tokens there is one cell of each of them.
    """
    wide = _wide(tokens, d_sae, threads)
    high = threads // wide
    blocks = min(high * -(-tokens // (high * ROWS)), tokens)
    return [
        [Cell(rows, columns) for columns in _cut(d_sae, wide)]
        for rows in _cut(tokens, max(1, blocks))
    ]


def _wide(tokens: int, d_sae: int, threads: int) -> int:
    """In how many parts latents are divided: few, where each thread still has enough tokens."""
    divisors = [n for n in range(1, threads + 1) if threads % n == 0]
    # Latents of one product are never divided: there would be little else than choosing.
    possible = [n for n in divisors if n == 1 or d_sae // n >= COLUMNS]
    return next((n for n in possible if tokens * n >= threads * ENOUGH), possible[-1])


def _cut(length: int, parts: int) -> list[slice]:
    """0 to `length` in so many parts, as equal as they can be."""
    return [slice(*ends) for ends in pairwise(length * part // parts for part in range(parts + 1))]
