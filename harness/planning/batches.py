"""How documents are cut into shards, and these into batches: the same for a plan and for a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

BLOCK = 32768
"""Tokens of a shard where documents are packed into rows: what stands in a row with what is a
matter of the data alone, whatever the sizes of batches."""


def shards(items: Iterable[T], length: Callable[[T], int], most: int) -> Iterator[Sequence[T]]:
    """Documents in order, in shards that end with the document that reaches `most` tokens."""
    shard: list[T] = []
    tokens = 0
    for item in items:
        shard.append(item)
        tokens += length(item)
        if tokens >= most:
            yield shard
            shard, tokens = [], 0
    if shard:
        yield shard


def by_category(items: Sequence[T], category: Callable[[T], str]) -> Iterator[tuple[str, list[T]]]:
    """The documents of each category, in order: no batch has two of them."""
    for name in sorted({category(item) for item in items}):
        yield name, [item for item in items if category(item) == name]


def alike(items: Iterable[T], length: Callable[[T], int], size: int) -> Iterator[Sequence[T]]:
    """Batches of at most `size`, documents of like length together: that is less padding."""
    return parts(sorted(items, key=length), size)


def parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in order, at most `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def packed(lengths: Iterable[int], most: int) -> list[int]:
    """The lengths of rows of at most `most` tokens that hold documents of these lengths, in order.

    A document is never cut: one that does not fit begins a new row, and one that is longer than
    `most` has a row of its own.
    """
    rows: list[int] = []
    for length in lengths:
        if not rows or rows[-1] + length > most:
            rows.append(0)
        rows[-1] += length
    return rows
