"""The strongest entries of each feature, whatever order they come in."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int, Shaped


@dataclass(frozen=True)
class Entries:
    """Candidates for a feature's contexts, one each: where a latent is not zero."""

    feature: Int[np.ndarray, " n"]
    value: Float[np.ndarray, " n"]
    document: Int[np.ndarray, " n"]
    """A hash of the document's id."""
    position: Int[np.ndarray, " n"]
    row: Int[np.ndarray, " n"]
    """Where the entry comes from; never compared."""

    def take(self, chosen: Shaped[np.ndarray, " m"]) -> Entries:
        """Some of the entries."""
        return Entries(*(getattr(self, one.name)[chosen] for one in fields(self)))

    def plus(self, other: Entries) -> Entries:
        """The entries of both."""
        both = (
            np.concatenate([getattr(self, one.name), getattr(other, one.name)])
            for one in fields(self)
        )
        return Entries(*both)


def best_of_documents(entries: Entries) -> Entries:
    """Of each feature and document the strongest entry; of equal ones the first in the text."""
    strength = -np.abs(entries.value)
    order = np.lexsort((entries.position, strength, entries.document, entries.feature))
    feature, document = entries.feature[order], entries.document[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (feature[1:] != feature[:-1]) | (document[1:] != document[:-1])
    return entries.take(order[first])


def best(entries: Entries, count: int) -> tuple[Entries, Int[np.ndarray, " n"]]:
    """Of each feature the `count` strongest entries of different documents, and their ranks.

    Ordered by feature, then rank from 0. Equal strengths are ordered by the document's hash. The
    best of a union are the best of the parts' best, so that parts merge in any order.
    """
    entries = best_of_documents(entries)
    order = np.lexsort((entries.document, -np.abs(entries.value), entries.feature))
    feature = entries.feature[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = feature[1:] != feature[:-1]
    place = np.arange(len(order))
    rank = place - np.maximum.accumulate(np.where(new, place, 0))
    kept = rank < count
    return entries.take(order[kept]), rank[kept]
