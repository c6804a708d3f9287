"""What it takes to read prompts under many edits: how many calls, as a run makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.contract import Stream
from harness.planning.counts import Counts, forward_counts


@dataclass(frozen=True)
class Armed:
    """How often the prompts of a batch are read."""

    arms: Mapping[str, int]
    """By view: under so many edits."""
    beside: frozenset[str]
    """Views that are read as they are, to be compared with themselves under an edit."""


def armed(streams: Iterable[Stream], place: int) -> Armed:
    """How the streams with edits read the prompts of their rendering's first view, or at 1 those of
    its second."""
    arms: dict[str, set[object]] = {}
    beside: set[str] = set()
    for stream in streams:
        if stream.edit is None:
            continue
        own = int(stream.right is not None and stream.align == "span")
        if own == place:
            arms.setdefault(stream.right or stream.view, set()).add(stream.edit)
        if stream.right is not None and place == 0:
            beside.add(stream.view)
    return Armed({view: len(found) for view, found in arms.items()}, frozenset(beside))


def armed_counts(batches: Sequence[Sequence[int]], arms: int, size: int) -> Counts:
    """Forwards over batches of prompts of these lengths, each prompt under every arm.

    As many arms share a call as have room in `size` rows, and at least one.
    """
    total = Counts()
    for lengths in batches:
        one, together = forward_counts(lengths), max(1, size // len(lengths))
        total += Counts(
            -(-arms // together),
            arms * one.prompts,
            arms * one.tokens,
            positions=arms * one.positions,
        )
    return total
