"""What was read at each position of a variant, and by chance: plain data, before it is records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from harness_analyses.difference_lens.lists import Reading
from harness_analyses.difference_lens.readers import Reader
from harness_analyses.difference_lens.variants import DIFFERENCE, INVERSE, Vectors


@dataclass(frozen=True)
class Found:
    """The readings of one position."""

    position: int
    tokens: int
    documents: int
    sources: Mapping[str, Reading]
    """By source; one whose vector is 0 is left out."""
    permuted: tuple[Reading, ...]
    halves: tuple[tuple[Reading, Reading], ...]
    resampled: Mapping[str, tuple[Reading, ...]]
    """Of the difference and its opposite, in each draw of documents; empty where none are drawn."""
    why: str | None
    """Why the difference was not read."""


def read(reader: Reader, given: Sequence[Vectors]) -> tuple[Found, ...]:
    """Reads all vectors of all positions, at once."""
    every = [vector for one in given for vector in _vectors(one)]
    opposite = [vector for one in given for vector in _opposite(one)]
    readings = iter(reader.read(torch.stack(every)) if every else [])
    inverse = iter(reader.read_inverse(torch.stack(opposite)) if opposite else [])
    return tuple(_found(one, readings, inverse) for one in given)


def _vectors(given: Vectors) -> list[Float[Tensor, " d"]]:
    """All that is read of a position, in the order in which `_found` takes it."""
    parts = [half for pair in given.halves for half in pair]
    return [*given.named.values(), *given.permuted, *parts, *given.resampled]


def _opposite(given: Vectors) -> list[Float[Tensor, " d"]]:
    """All whose opposite is read, likewise."""
    return [given.named[DIFFERENCE], *given.resampled] if DIFFERENCE in given.named else []


def _found(given: Vectors, readings: Iterator[Reading], inverse: Iterator[Reading]) -> Found:
    sources = {name: next(readings) for name in given.named}
    drawn = tuple(next(readings) for _ in given.permuted)
    split = tuple((next(readings), next(readings)) for _ in given.halves)
    again = {DIFFERENCE: tuple(next(readings) for _ in given.resampled)}
    if DIFFERENCE in sources:
        sources[INVERSE] = next(inverse)
        again[INVERSE] = tuple(next(inverse) for _ in given.resampled)
    return Found(
        given.position,
        given.tokens,
        given.documents,
        sources,
        drawn,
        split,
        again,
        given.why,
    )
