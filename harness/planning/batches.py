"""How documents are cut into shards, and these into batches: the same for a plan and for a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

BLOCK = 32768
"""Tokens of a shard where documents are packed into rows: what stands in a row with what is a
matter of the data alone, whatever the sizes of batches."""
FORWARD = 256
"""Tokens that a forward could read in the time that it takes to begin one: a batch is cut in two
where that leaves out more padding."""


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
    """Batches of at most `size`, documents of like length together, cut where they are padded
    least: a batch takes as long as its rows times its longest, and `FORWARD`."""
    ordered = sorted(items, key=length)
    lengths = [length(item) for item in ordered]
    # Of the first n items: what they take at least, and where their last batch then begins.
    least, begins = [0], [0]
    for end in range(1, len(ordered) + 1):
        longest = lengths[end - 1]
        costs = (
            (least[start] + (end - start) * longest, start)
            for start in range(max(0, end - size), end)
        )
        cost, start = min(costs)
        least.append(cost + FORWARD)
        begins.append(start)
    ends = [len(ordered)]
    while ends[-1]:
        ends.append(begins[ends[-1]])
    return (ordered[start:end] for end, start in reversed(list(pairwise(ends))))


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
