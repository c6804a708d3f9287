"""What became slower: quotients of figures of two checkouts, from runs in turns."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal

from turns.series import Series

MORE = 1.05
"""From this quotient on something has become slower."""
CERTAIN = 0.93
"""How often the interval of a median has to hold it; with five turns that is from least to most."""

Verdict = Literal["slower", "perhaps slower", "faster", "alike"]


@dataclass(frozen=True)
class Change:
    """How many times the figure of the other checkout ours is, in each turn."""

    benchmark: str
    name: str
    unit: str
    ratios: tuple[float, ...]
    """Of each turn: the figure here / the figure there."""
    ours: bool = True

    @property
    def ratio(self) -> float:
        """The median over the turns."""
        return statistics.median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the median lies."""
        return median_interval(self.ratios)

    @property
    def verdict(self) -> Verdict:
        """`slower` where the median is above 1.05 and its whole interval above 1; `perhaps slower`
        where the interval is not; `faster` the other way round."""
        low, high = self.interval
        if self.ratio > MORE:
            return "slower" if low > 1 else "perhaps slower"
        return "faster" if self.ratio < 1 / MORE and high < 1 else "alike"

    @property
    def row(self) -> str:
        """A row of the table."""
        low, high = self.interval
        said = self.verdict if self.ours else "not ours"
        return (
            f"| {self.benchmark} | {self.name} | {self.unit} | {self.ratio:.3f} "
            f"| {low:.3f} to {high:.3f} | {said} |"
        )


HEADER = (
    "| benchmark | what | unit | here / there, median | interval of the median | |",
    "|---|---|---|---|---|---|",
)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The narrowest pair of order statistics that holds the median with `CERTAIN`, at the least.

    With n values, [x₍ₖ₎, x₍ₙ₊₁₋ₖ₎] holds it with 1 - 2 · P(Binomial(n, ½) < k). With fewer than
    five values none is as certain, and it is from the least to the most.
    """
    ordered, n = sorted(values), len(values)
    k, tail = 1, comb(n, 0) + comb(n, 1)
    while k < (n + 1) // 2 and 1 - 2 * tail / 2**n >= CERTAIN:
        k += 1
        tail += comb(n, k)
    return ordered[k - 1], ordered[n - k]


def changes(
    benchmark: str, here: Sequence[Sequence[Series]], there: Sequence[Sequence[Series]]
) -> list[Change]:
    """How each contender that both have changed; `here` and `there` have the turns in order."""
    if not here or not there:
        return []
    first = {one.name: one for one in here[0]}
    found = []
    for name, one in first.items():
        pairs = [
            (ours[name], theirs[name])
            for ours, theirs in zip(map(_by_name, here), map(_by_name, there), strict=False)
            if name in ours and name in theirs
        ]
        ratios = tuple(a.figure / b.figure for a, b in pairs if b.figure > 0)
        if ratios:
            unit = one.unit if one.beside is None else "× its control"
            found.append(Change(benchmark, name, unit, ratios, one.ours))
    return found


def only(here: Sequence[Series], there: Sequence[Series]) -> list[str]:
    """The contenders that only one of the two has."""
    return sorted(_by_name(here).keys() ^ _by_name(there).keys())


def _by_name(found: Sequence[Series]) -> Mapping[str, Series]:
    return {one.name: one for one in found}
