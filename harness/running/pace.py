"""How fast a stage goes, over all of its workers, and how long it will still take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_GRAIN = 200
"""A look is kept where it is so much later than the last one: elapsed time over this."""


@dataclass(frozen=True)
class Gauge:
    """What can be read off while a stage goes on, beside how many things are done."""

    tokens: Callable[[], int] = lambda: 0
    """Tokens that models have read and written in it, all workers together."""
    workers: Callable[[], int] = lambda: 1
    """How many processes compute it."""


@dataclass(frozen=True)
class _Look:
    time: float
    done: int
    tokens: int


class Pace:
    """How fast things get done: in the second half of the time so far.

    What an earlier run has done is counted in the first moment, and workers hand in many things at
    once after a long time; of both, the half is hardly wrong, and it follows a change of speed.
    """

    def __init__(self, now: float, total: int, gauge: Gauge) -> None:
        """`total` is how many things there are, 0 where unknown; `now` are seconds of any clock."""
        self.done = 0
        self._total = total
        self._gauge = gauge
        self._begun = now
        self._looks = deque([_Look(now, 0, gauge.tokens())])

    def add(self, more: int, now: float) -> None:
        """More things are done."""
        self.done += more
        last, since = self._looks[-1].time, now - self._begun
        if now > last and now - last >= since / _GRAIN:
            self._looks.append(_Look(now, self.done, self._gauge.tokens()))
        half = now - since / 2
        while len(self._looks) > 1 and self._looks[1].time <= half:
            self._looks.popleft()

    def rate(self) -> float | None:
        """Things done in a second; None where that cannot be told yet."""
        return self._per_second(lambda look: look.done)

    def tokens(self) -> float | None:
        """Tokens read and written in a second; None where nobody counts them."""
        return self._per_second(lambda look: look.tokens)

    def left(self, now: float) -> float | None:
        """Seconds until all is done, at this pace; None where that cannot be told."""
        rate, last = self.rate(), self._looks[-1]
        if not self._total or rate is None:
            return None
        return max(0.0, (self._total - last.done) / rate - (now - last.time))

    def speed(self) -> list[str]:
        """The pace in words, such as `12/s` and `8,400 tokens/s`, what is not known left out."""
        rates = ((self.rate(), "/s"), (self.tokens(), " tokens/s"))
        return [f"{figure(rate)}{unit}" for rate, unit in rates if rate]

    def where(self) -> str:
        """` on 4 workers`; empty where one process does all."""
        workers = self._gauge.workers()
        return f" on {workers:,} workers" if workers > 1 else ""

    def _per_second(self, of: Callable[[_Look], int]) -> float | None:
        first, last = self._looks[0], self._looks[-1]
        if last.time <= first.time or of(last) <= of(first):
            return None
        return (of(last) - of(first)) / (last.time - first.time)


def figure(rate: float) -> str:
    """A rate to two figures, or to the last whole one: `0.25`, `1.7`, `12`, `8,400`."""
    if rate >= 1000:
        return f"{round(rate, -2):,.0f}"
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"


def remaining(seconds: float) -> str:
    """Seconds in words: `18 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.2g} h"
