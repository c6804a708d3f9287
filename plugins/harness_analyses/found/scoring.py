"""Every method on every model, with the truth of its own and with that of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness_analyses.found.chance import best_of, permutation_p
from harness_analyses.found.planted import Place, Planted, Said, unlike
from harness_analyses.found.truth import Sort, Truth

Role = Literal["method", "control", "baseline"]


@dataclass(frozen=True)
class Organism:
    """A model whose change is known."""

    pair: str
    truth: Truth
    planted: Mapping[Sort, Planted]
    """By sort; nothing in a model that is the null."""


@dataclass(frozen=True)
class Entrant:
    """Who takes part in the league, and what it says of each pair."""

    name: str
    sort: Sort
    says: Callable[[Organism], Said | str]
    role: Role = "method"
    """Controls and the baseline are no methods: they do not count among them."""


@dataclass(frozen=True)
class Score:
    """One entrant on one organism."""

    entrant: Entrant
    organism: Organism
    place: Place | None
    """Where its own truth stands."""
    why: str | None
    """Why it stands nowhere."""
    others: Mapping[str, Place] = field(default_factory=dict)
    """Where the truths of other organisms stand in what was said of this one."""

    @property
    def permuted_p(self) -> float | None:
        """The share of truths that come out at least as well as the own one."""
        if self.place is None or not self.others:
            return None
        return permutation_p(self.place.p, [one.p for one in self.others.values()])

    @property
    def of_others(self) -> float | None:
        """How likely it is that one of the truths of others comes out as well as the best does."""
        if not self.others:
            return None
        return best_of(min(one.p for one in self.others.values()), len(self.others))


def scored(entrants: Sequence[Entrant], organisms: Sequence[Organism]) -> list[Score]:
    """All scores, by entrant and organism, in their order."""
    return [_score(entrant, one, organisms) for entrant in entrants for one in organisms]


def _score(entrant: Entrant, organism: Organism, every: Sequence[Organism]) -> Score:
    own = organism.planted.get(entrant.sort)
    said = entrant.says(organism)
    if isinstance(said, str):
        return Score(entrant, organism, None, said)
    foreign = [
        (other.pair, other.planted[entrant.sort])
        for other in every
        if other is not organism and entrant.sort in other.planted
    ]
    others = {
        pair: place
        for pair, planted in unlike(own, foreign)
        if isinstance(place := said.place(planted), Place)
    }
    if own is None:
        return Score(entrant, organism, None, _absent(organism, entrant.sort), others)
    place = said.place(own)
    if isinstance(place, str):
        return Score(entrant, organism, None, place, others)
    return Score(entrant, organism, place, None, others)


def _absent(organism: Organism, sort: Sort) -> str:
    if organism.truth.planted == "nothing":
        return "nothing was planted: it is the null"
    return f"its truth names no {sort}"
