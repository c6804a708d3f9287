"""The table of the league: a row for each method and organism."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.contract import Model
from harness.text import well_formed
from harness_analyses.found.scoring import Score

Row = dict[str, Any]


def rows(scores: Sequence[Score], model: Model | None) -> Iterator[Row]:
    """A row for each score; words and texts are hostile."""
    for one in scores:
        truth, place = one.organism.truth, one.place
        said = truth.words or ([] if model is None else [model.decode([t]) for t in truth.tokens])
        yield {
            "method": one.entrant.name,
            "sort": one.entrant.sort,
            "role": one.entrant.role,
            "pair": one.organism.pair,
            "kind": truth.kind,
            "seed": truth.seed,
            "planted": truth.planted,
            "rank": None if place is None else place.rank,
            "candidates": None if place is None else place.candidates,
            "chance": None if place is None else place.usual,
            "p": None if place is None else place.p,
            "permuted_p": one.permuted_p,
            "of_others": one.of_others if truth.planted == "nothing" else None,
            "score": _finite(None if place is None else place.score),
            "words": well_formed(", ".join(said[:20])),
            "text": well_formed(truth.text),
            "why": one.why,
        }


def _finite(value: float | None) -> float | None:
    """The score; None where the method does not list what was planted."""
    return value if value is not None and abs(value) < float("inf") else None
