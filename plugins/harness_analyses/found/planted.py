"""What was planted, what a method says, and at which rank the one stands in the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Float64

from harness_analyses.found.chance import best_rank, chance_of_rank, usual_rank

SAME = 1 - 1e-6
"""|cos| from which on a candidate is the planted direction itself."""
ALIKE = 0.9
"""|cos| from which on two planted directions are one, so that neither is a null of the other."""


@dataclass(frozen=True)
class Items:
    """Tokens or latents that were planted."""

    ids: tuple[int, ...]

    def is_like(self, other: Planted) -> bool:
        """Whether they share one."""
        return isinstance(other, Items) and not set(self.ids).isdisjoint(other.ids)


@dataclass(frozen=True)
class Line:
    """A direction that was planted; its sign does not count."""

    vector: Float64[np.ndarray, " d"]
    """Of length 1."""

    def is_like(self, other: Planted) -> bool:
        """Whether both are nearly the same line."""
        if not isinstance(other, Line) or len(self.vector) != len(other.vector):
            return False
        return bool(abs(self.vector @ other.vector) >= ALIKE)


Planted = Items | Line


@dataclass(frozen=True)
class Place:
    """Where something planted stands among all candidates."""

    rank: int
    """From 1, the best; candidates that tie count as better."""
    planted: int
    """How many of the candidates were planted: the best of them has the rank."""
    candidates: int
    """How many there are in all."""
    score: float
    """What the method gives it; of a direction the |cos|."""

    @property
    def p(self) -> float:
        """How likely a random order ranks it so or better."""
        return chance_of_rank(self.rank, self.planted, self.candidates)

    @property
    def usual(self) -> float:
        """The rank that a random order gives on average."""
        return usual_rank(self.planted, self.candidates)


class Said(Protocol):
    """What one method says of one model: a score for every candidate of a sort."""

    def place(self, planted: Planted) -> Place | str:
        """Where this stands; or why it stands nowhere."""


@dataclass(frozen=True)
class Scores:
    """A score for every token, or for every latent; −∞ for those that are not listed."""

    scores: Float[np.ndarray, " candidates"]

    def place(self, planted: Planted) -> Place | str:
        """The rank of the best of the planted ones."""
        assert isinstance(planted, Items), "tokens and latents are items"
        ids = np.unique(planted.ids)
        if not len(ids):
            return "it planted none"
        if ids[-1] >= len(self.scores):
            return f"{ids[-1]} was planted, and there are {len(self.scores)} candidates from 0"
        here = np.zeros(len(self.scores), bool)
        here[ids] = True
        own, others = self.scores[here], self.scores[~here]
        return Place(best_rank(own, others), len(ids), len(here), float(own.max()))


@dataclass(frozen=True)
class Pointed:
    """Vectors that a method found, and the directions among which the planted one is looked for.

    A candidate's score is its largest |cos| with one of the vectors.
    """

    vectors: Float64[np.ndarray, "found d"]
    """Of length 1, one or more."""
    among: Float64[np.ndarray, "candidates d"]
    """Of length 1: always the same ones, and without the planted one."""

    def place(self, planted: Planted) -> Place | str:
        """1 + how many candidates are at least as near; those that are the planted one itself, such
        as the decoder row that was planted, are left out."""
        assert isinstance(planted, Line), "a direction is a line"
        if len(planted.vector) != self.vectors.shape[1]:
            return (
                f"what was planted has {len(planted.vector)} numbers, and what was found "
                f"{self.vectors.shape[1]}"
            )
        near = np.abs(self.vectors @ self.among.T).max(0)
        other = np.abs(self.among @ planted.vector) < SAME
        own = np.abs(self.vectors @ planted.vector).max(keepdims=True)
        rank = best_rank(own, near[other])
        return Place(rank, 1, 1 + int(other.sum()), float(min(own[0], 1.0)))


def units(vectors: Float[np.ndarray, "n d"]) -> Float64[np.ndarray, "kept d"]:
    """The vectors in float64 at length 1; those of length 0, or not finite, are left out."""
    wide = np.asarray(vectors, np.float64)
    sizes = np.linalg.norm(wide, axis=1)
    kept = np.isfinite(sizes) & (sizes > 0)
    return np.asarray(wide[kept] / sizes[kept, None])


def unlike(own: Planted | None, others: Sequence[tuple[str, Planted]]) -> list[tuple[str, Planted]]:
    """The others that share nothing with the own one: what a permuted label may give."""
    return [(name, one) for name, one in others if own is None or not own.is_like(one)]
