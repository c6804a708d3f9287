"""Records of readings: ranks of words, and how far lists agree, each beside what chance gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np

from harness.contract import Axes, Record
from harness.results.intervals import percentile_interval
from harness_analyses.difference_lens.found import Found
from harness_analyses.difference_lens.lists import Reading, TokenList, overlap
from harness_analyses.difference_lens.variants import DIFFERENCE, INVERSE, LEFT, RIGHT
from harness_analyses.difference_lens.words import Word, chance_of_rank
from harness_statistics.records import number

_EXACT = "no documents were drawn for it; its null says what chance gives"
_PERMUTED, _RANDOM = "labels permuted", "random words"
_FEWEST = 10
"""Groups of documents from which draws make an interval: sums of many are nearly normal."""
Null = Mapping[str, Any] | None


@dataclass(frozen=True)
class Report:
    """Makes the records of one variant."""

    prefix: str
    """How their ids begin."""
    axes: Axes
    words: Sequence[Word]
    top: int
    vocabulary: int
    groups: int
    """How many groups of documents draws are made of."""
    options: Mapping[str, Any]

    def of_words(self, found: Sequence[Found]) -> Iterator[Record]:
        """Ranks and hits of the words, at each position and over all of them."""
        if not self.words:
            return
        for source in (DIFFERENCE, INVERSE, LEFT, RIGHT):
            for one in found:
                yield from self._ranks(one, source)
            yield from self._over_positions(found, source)

    def of_lists(self, one: Found, others: Mapping[str, Found]) -> Iterator[Record]:
        """How far the list of a position agrees with other lists; `others`: by name, those of the
        same position in other text."""
        mine = _said(one, DIFFERENCE)
        against = {
            "permuted": [reading.said for reading in one.permuted],
            LEFT: _listed(_said(one, LEFT)),
            **{name: _listed(_said(other, DIFFERENCE)) for name, other in others.items()},
        }
        for name, lists in against.items():
            why = one.why or (None if lists else f"nothing was read of {name}")
            shared = fmean(overlap(mine, other) for other in lists) if mine and lists else None
            chance: Null = {"kind": "chance", "value": self.top / self.vocabulary}
            if name != "permuted" and one.permuted and lists:
                drawn = [overlap(reading.said, lists[0]) for reading in one.permuted]
                chance = _null(_PERMUTED, drawn, shared)
            yield self._record("overlap", shared, why, one, chance, "share", against=name)
        shares = [overlap(left.said, right.said) for left, right in one.halves]
        why = one.why or (None if shares else "two halves need two groups of documents")
        yield self._record(
            "split_half", fmean(shares) if shares and not why else None, why, one,
            _of_permuted_lists(one.permuted), "share",
        )  # fmt: skip

    def of_strength(self, one: Found) -> Iterator[Record]:
        """The strength at which each source was read, and how alike its tokens are there."""
        for source, reading in one.sources.items():
            if reading.scale is None or reading.coherence is None:
                continue
            yield self._record("scale", reading.scale, None, one, None, "norms", source=source)
            drawn = [r.coherence for r in one.permuted if r.coherence is not None]
            null = _null(_PERMUTED, drawn, reading.coherence) if drawn else None
            yield self._record(
                "coherence", reading.coherence, None, one, null, "cosine", source=source
            )

    def _ranks(self, one: Found, source: str) -> Iterator[Record]:
        reading, why = one.sources.get(source), _why(one, source)
        again = one.resampled.get(source, ())
        for at, word in enumerate(self.words):
            many, rank = len(word.tokens), None if reading is None else reading.ranks[at]
            chance = {"kind": _RANDOM, "value": (self.vocabulary + 1) / (many + 1)}
            if rank is not None:
                chance["p"] = chance_of_rank(rank, many, self.vocabulary)
                chance["least_p"] = chance_of_rank(1, many, self.vocabulary)
            drawn = [float(draw.ranks[at]) for draw in again]
            yield self._record(
                "rank", rank, why, one, chance, "rank", drawn, source=source, word=word.text
            )
        hits = [] if reading is None else self._hits(reading)
        null = _null(_RANDOM, hits[1:], hits[0]) if hits else None
        drawn = [self._share(self._own(draw)) for draw in again]
        share = hits[0] if hits else None
        yield self._record("hits", share, why, one, null, "share", drawn, source=source)

    def _over_positions(self, found: Sequence[Found], source: str) -> Iterator[Record]:
        """The best over positions: of every set of random words the best is taken likewise."""
        there = [one for one in found if source in one.sources]
        readings = [one.sources[source] for one in there]
        again = list(zip(*(one.resampled.get(source, ()) for one in there), strict=False))
        total, why = _together(found), None if readings else _why(found[0], source)
        best = [min(ranks) for ranks in zip(*map(self._best, readings), strict=True)]
        null: Null = None
        if best:
            as_good = sum(one <= best[0] for one in best[1:])
            p = (1 + as_good) / len(best)
            tested = {"p": p, "least_p": 1 / len(best)}
            null = {"kind": _RANDOM, "value": float(median(best[1:])), **tested}
        first = best[0] if best else None
        drawn = [float(min(min(self._own(one)) for one in draw)) for draw in again]
        yield self._record("best_rank", first, why, total, null, "rank", drawn, source=source)
        for name, over in (("hits_best", max), ("hits_mean", fmean)):
            hits = [float(over(shares)) for shares in zip(*map(self._hits, readings), strict=True)]
            null = _null(_RANDOM, hits[1:], hits[0]) if hits else None
            share = hits[0] if hits else None
            drawn = [float(over([self._share(self._own(one)) for one in draw])) for draw in again]
            yield self._record(name, share, why, total, null, "share", drawn, source=source)

    def _best(self, reading: Reading) -> list[int]:
        """The best rank of the words, then that of each set of random words."""
        return [min(ranks) for ranks in self._sets(reading)]

    def _hits(self, reading: Reading) -> list[float]:
        """The share of the words in the list, then that of each set of random words."""
        return [self._share(ranks) for ranks in self._sets(reading)]

    def _share(self, ranks: Sequence[int]) -> float:
        return sum(rank <= self.top for rank in ranks) / len(ranks)

    def _own(self, reading: Reading) -> tuple[int, ...]:
        """The ranks of the words themselves."""
        return reading.ranks[: len(self.words)]

    def _sets(self, reading: Reading) -> list[tuple[int, ...]]:
        size, ranks = len(self.words), reading.ranks
        return [ranks[begin : begin + size] for begin in range(0, len(ranks), size)]

    def _record(
        self,
        name: str,
        value: float | None,
        why: str | None,
        one: Found,
        null: Null,
        unit: str,
        drawn: Sequence[float] = (),
        **axes: str,
    ) -> Record:
        place = {} if one.position < 0 else {"position": one.position}
        ci, ci_why = None, _EXACT
        if drawn and why is None:
            ci, told = percentile_interval(np.array(drawn), self.groups, fewest=_FEWEST)
            ci_why = told or ""
        return number(
            f"{self.prefix}.{name}@1",
            None if value is None else float(value),
            why,
            ci=ci,
            ci_why=ci_why,
            n=one.tokens,
            n_of="tokens",
            unit=unit,
            clusters=one.documents,
            null=null,
            options=self.options,
            axes={**self.axes, **place, **axes},
        )


def _together(found: Sequence[Found]) -> Found:
    """All positions as one, without its own readings."""
    tokens = sum(one.tokens for one in found)
    documents = max((one.documents for one in found), default=0)
    return Found(-1, tokens, documents, {}, (), (), {}, None)


def _why(one: Found, source: str) -> str | None:
    if source in one.sources:
        return None
    if source in (DIFFERENCE, INVERSE) or not one.tokens:
        return one.why
    return f"the mean of the {source} side is 0"


def _said(one: Found, source: str) -> TokenList | None:
    reading = one.sources.get(source)
    return None if reading is None else reading.said


def _listed(said: TokenList | None) -> list[TokenList]:
    return [] if said is None else [said]


def _null(kind: str, drawn: Sequence[float], value: float | None) -> dict[str, Any]:
    """The mean of what was drawn, and p = (1 + draws that are at least as high) / (1 + draws)."""
    as_high = sum(one >= value for one in drawn) if value is not None else 0
    each = 1 / (1 + len(drawn))
    return {"kind": kind, "value": fmean(drawn), "p": (1 + as_high) * each, "least_p": each}


def _of_permuted_lists(permuted: Sequence[Reading]) -> Null:
    """How far two lists with permuted labels overlap: some tokens are likely whatever is read."""
    pairs = list(zip(permuted[::2], permuted[1::2], strict=False))
    if not pairs:
        return None
    shares = [overlap(one.said, other.said) for one, other in pairs]
    return {"kind": _PERMUTED, "value": fmean(shares)}
