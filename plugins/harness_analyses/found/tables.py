"""Tables of the league: a row for each method and organism, and a sentence for each kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from harness.contract import Model
from harness.results import format_number, grouped
from harness.text import for_terminal, well_formed
from harness_analyses.found.scoring import Score

Row = dict[str, Any]
_NAMED = 4
"""Methods that a sentence names."""
_SMALL = 0.05
"""The p from which on the null no longer looks like one."""


def rows(scores: Sequence[Score], model: Model | None) -> Iterator[Row]:
    """A row for each score; words and texts are hostile."""
    for one in scores:
        truth, place = one.organism.truth, one.place
        said = truth.words or ([] if model is None else [model.decode([t]) for t in truth.tokens])
        yield {
            "method": one.entrant.name,
            "sort": one.entrant.sort,
            "role": _role(one),
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


def _role(score: Score) -> str:
    if score.entrant.competes:
        return "method"
    return "baseline" if score.entrant.baseline else "control"


def _finite(value: float | None) -> float | None:
    """The score; None where the method does not list what was planted."""
    return value if value is not None and abs(value) < float("inf") else None


def sentences(scores: Sequence[Score]) -> Iterator[Row]:
    """What was found of each kind, and what of the null, in one sentence each."""
    for kind, mine in grouped(scores, lambda one: one.organism.truth.kind).items():
        planted = mine[0].organism.truth.planted
        if planted == "nothing":
            said = _null(kind, mine)
        else:
            how = {"weights": "planted by weights", "training": "trained"}[planted]
            said = f"{kind} ({how}): {_best(mine)}{_baseline(mine)}"
        if said:
            yield {"kind": kind, "verdict": said}


def _best(scores: Sequence[Score]) -> str:
    """Which methods rank it first in all organisms; else which comes closest."""
    ranks = {
        name: [one.place.rank for one in mine if one.place is not None]
        for name, mine in grouped(scores, lambda one: one.entrant.name).items()
        if mine[0].entrant.competes
    }
    ranks = {name: found for name, found in ranks.items() if found}
    if not ranks:
        return "no method looks for what was planted"
    first = [name for name, found in ranks.items() if max(found) == 1]
    if first:
        count = len(ranks[first[0]])
        more = f" and {len(first) - _NAMED} more" if len(first) > _NAMED else ""
        named = ", ".join(for_terminal(name, 40) for name in first[:_NAMED])
        return f"rank 1 in {count} of {count} by {named}{more}"
    nearest = min(ranks, key=lambda name: (fmean(1 / -one for one in ranks[name]), name))
    return f"no method ranks it first in all; the nearest is {for_terminal(nearest, 40)} with " + (
        _ranks(ranks[nearest])
    )


def _baseline(scores: Sequence[Score]) -> str:
    """The ranks that completions alone give, and those of chance."""
    mine = [one.place for one in scores if one.entrant.baseline and one.place is not None]
    if not mine:
        return ""
    usual = format_number(fmean(one.usual for one in mine))
    ranks = _ranks([one.rank for one in mine])
    return f"; completions alone give {ranks}, chance about {usual}"


def _ranks(ranks: Sequence[int]) -> str:
    return (
        f"rank {', '.join(map(str, ranks))}"
        if len(ranks) == 1
        else (f"ranks {', '.join(map(str, ranks))}")
    )


def _null(kind: str, scores: Sequence[Score]) -> str:
    """How often what was planted in others is found in the null."""
    found = [one.of_others for one in scores if one.entrant.competes and one.of_others is not None]
    if not found:
        return ""
    small = sum(p <= _SMALL for p in found)
    return (
        f"{kind}, in which nothing was planted: in {small} of {len(found)} cases a method finds "
        f"there what was planted in others, with p ≤ {_SMALL:g}; chance gives "
        f"{format_number(_SMALL * len(found))}"
    )
