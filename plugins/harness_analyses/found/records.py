"""Records of the league: each rank beside chance, and means over organisms with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log10
from statistics import fmean
from typing import Any

import numpy as np

from harness.contract import Record
from harness.results import grouped
from harness.results.intervals import wilson
from harness.results.replicates import interval, replicate_weights
from harness_analyses.found.chance import best_of, chance_of_all, chance_of_rank, usual_worst
from harness_analyses.found.planted import Line, Place
from harness_analyses.found.scoring import Score
from harness_statistics.records import number

ALL = "all"
"""The value of the axis `kind` of numbers over all organisms in which something was planted."""
PERMUTED = "label-permuted truth"
_ONCE = "a method is run once on an organism; its null says what chance gives"
FEWEST = 10
"""Organisms from which means of one number each have an interval; see docs/statistics.md."""


@dataclass(frozen=True)
class Report:
    """Makes the records of a league."""

    scores: Sequence[Score]
    top: Sequence[int]
    seed: int

    def records(self) -> Iterator[Record]:
        """Those of each score, of each organism over methods, and of each method over organisms."""
        for score in self.scores:
            yield from self._of_score(score)
        for pair, mine in grouped(self.scores, lambda one: one.organism.pair).items():
            yield from self._best(pair, mine)
        for name, mine in grouped(self.scores, lambda one: one.entrant.name).items():
            kinds = grouped(_defined(mine), lambda one: one.organism.truth.kind)
            for kind, some in kinds.items():
                yield self._worst(name, kind, some)
                yield from self._over(name, kind, some)
            yield from self._over(name, ALL, _defined(mine))
            if mine[0].entrant.role == "method":
                yield from self._beyond_baseline(name, mine)

    # ── One method on one organism ───────────────────────────────────────────────────────────────

    def _of_score(self, score: Score) -> Iterator[Record]:
        place, why = score.place, score.why
        rest: dict[str, Any] = {"axes": _axes(score), "options": _options(score)}
        if score.organism.truth.planted == "nothing" and score.others:
            tested = {"kind": "chance", "value": 0.5, "p": score.of_others}
            yield number(
                "found.of_others@1", score.of_others, None, ci_why=_ONCE, n=len(score.others),
                n_of="truths", unit="probability", null=tested, **rest,
            )  # fmt: skip
        if score.entrant.sort not in score.organism.planted:
            return  # who looks for something else has missed nothing
        count = 0 if place is None else place.candidates
        null = None
        if place is not None:
            least = chance_of_rank(1, place.planted, place.candidates)
            null = {"kind": "chance", "value": place.usual, "p": place.p, "least_p": least}
        yield number(
            "found.rank@1", None if place is None else float(place.rank), why, ci_why=_ONCE,
            n=count, n_of="candidates", unit="rank", null=null, **rest,
        )  # fmt: skip
        p, others = score.permuted_p, len(score.others)
        none = why or (None if p is not None else "no other truth of this sort was planted")
        yield number(
            "found.permuted@1", p, none, ci_why=_ONCE, n=others, n_of="truths", unit="share",
            null={"kind": PERMUTED, "value": (others + 2) / (2 * others + 2)}, **rest,
        )  # fmt: skip
        if place is not None and isinstance(score.organism.planted[score.entrant.sort], Line):
            alike = [one.score for one in score.others.values()]
            mean = {"kind": PERMUTED, "value": fmean(alike)} if alike else None
            yield number(
                "found.cosine@1", place.score, None, ci_why=_ONCE, n=count, n_of="candidates",
                unit="cosine", null=mean, **rest,
            )  # fmt: skip

    def _best(self, pair: str, scores: Sequence[Score]) -> Iterator[Record]:
        """The best of all methods on one organism, and how good one would be by chance."""
        found = [
            (score, score.place)
            for score in scores
            if score.place is not None and score.entrant.role == "method"
        ]
        if not found:
            return
        score, place = min(found, key=lambda one: one[1].p)
        truth, p = score.organism.truth, best_of(place.p, len(found))
        yield number(
            "found.best@1", p, None, ci_why=_ONCE, n=len(found),
            n_of="methods", unit="probability", null={"kind": "chance", "value": 0.5, "p": p},
            axes={"pair": pair, "kind": truth.kind, "seed": truth.seed},
        )  # fmt: skip

    # ── One method on several organisms ──────────────────────────────────────────────────────────

    def _worst(self, name: str, kind: str, scores: Sequence[Score]) -> Record:
        """The worst rank: an exact statement about these organisms, of which none was drawn."""
        places = _places(scores)
        sizes = [one.planted for one in places], [one.candidates for one in places]
        worst = max(one.rank for one in places)
        p = chance_of_all([worst] * len(places), *sizes)
        return number(
            "found.worst_rank@1", float(worst), None, ci=(float(worst), float(worst)), ci_why="",
            n=len(places), n_of="organisms", unit="rank", clusters=len(places),
            null={"kind": "chance", "value": float(usual_worst(*sizes)), "p": p},
            options={"sort": scores[0].entrant.sort}, axes={"method": name, "kind": kind},
        )  # fmt: skip

    def _over(self, name: str, kind: str, scores: Sequence[Score]) -> Iterator[Record]:
        if not scores:
            return
        axes = {"method": name, "kind": kind}
        ranks = [place.rank for place in _places(scores)]
        others = [place.rank for score in scores for place in score.others.values()]
        for k in self.top:
            share = fmean(rank <= k for rank in ranks)
            null = fmean(rank <= k for rank in others) if others else None
            hits = sum(rank <= k for rank in ranks)
            yield self._mean(
                "found.hits@1", [float(rank <= k) for rank in ranks], scores,
                "share", null, axes={**axes, "k": k}, ci=wilson(hits, len(ranks)), value=share,
            )  # fmt: skip
        null = fmean(1 / rank for rank in others) if others else None
        each = [1 / rank for rank in ranks]
        yield self._mean("found.mrr@1", each, scores, "reciprocal rank", null, axes=axes)

    def _beyond_baseline(self, name: str, scores: Sequence[Score]) -> Iterator[Record]:
        """On the organisms that both are scored on: how much less likely by chance it is."""
        known = {
            one.organism.pair: one.place
            for one in self.scores
            if one.entrant.role == "baseline" and one.place is not None
        }
        both = [one for one in _defined(scores) if one.organism.pair in known]
        if not both:
            return
        each = [
            log10(known[one.organism.pair].p) - log10(place.p)
            for one, place in zip(both, _places(both), strict=True)
        ]
        axes = {"method": name, "kind": ALL}
        yield self._mean("found.beyond_baseline@1", each, both, "log10", 0.0, axes=axes)

    def _mean(
        self,
        id: str,
        each: Sequence[float],
        scores: Sequence[Score],
        unit: str,
        null: float | None,
        *,
        axes: Mapping[str, Any],
        ci: tuple[float, float] | None = None,
        value: float | None = None,
    ) -> Record:
        """The mean over organisms, with an interval by organisms."""
        ci_why = ""
        if ci is None:
            ci, told = self._drawn(each, [one.organism.pair for one in scores])
            ci_why = told or ""
        return number(
            id, fmean(each) if value is None else value, None, ci=ci, ci_why=ci_why,
            n=len(each), n_of="organisms", clusters=len(each), unit=unit,
            null=None if null is None else {"kind": PERMUTED, "value": null},
            options={"sort": scores[0].entrant.sort}, axes=axes,
        )  # fmt: skip

    def _drawn(
        self, each: Sequence[float], pairs: Sequence[str]
    ) -> tuple[tuple[float, float] | None, str | None]:
        weights = replicate_weights(pairs, self.seed)
        with np.errstate(invalid="ignore"):
            means = weights @ np.array(each) / weights.sum(1)
        return interval(means, len(each), "organisms", fewest=FEWEST)


def _defined(scores: Sequence[Score]) -> list[Score]:
    return [one for one in scores if one.place is not None]


def _places(scores: Sequence[Score]) -> list[Place]:
    return [one.place for one in scores if one.place is not None]


def _axes(score: Score) -> dict[str, Any]:
    truth = score.organism.truth
    return {
        "method": score.entrant.name,
        "pair": score.organism.pair,
        "kind": truth.kind,
        "seed": truth.seed,
    }


def _options(score: Score) -> dict[str, str]:
    entrant, truth = score.entrant, score.organism.truth
    return {"sort": entrant.sort, "role": entrant.role, "planted": truth.planted}
