"""Whether two numbers differ: the interval of their difference, made from their own intervals."""

from __future__ import annotations

from dataclasses import dataclass

from harness.contract import Record
from harness.results.mover import mover_difference


@dataclass(frozen=True)
class Difference:
    """One number minus another, with its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def seen(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def difference(one: Record, other: Record) -> Difference | None:
    """`one - other`, with an interval from the two intervals; None where one of them has none.

    By `mover_difference`. Right where the two are independent; too wide where both
    are of the same prompts and go up and down together, so it rather says too little than too much.
    Source: Newcombe 1998 (method 10) for shares, Zou and Donner 2008 for any numbers.
    """
    if one.value is None or other.value is None or one.ci is None or other.ci is None:
        return None
    low, high = mover_difference(one.value, _around(one), other.value, _around(other))
    return Difference(one.value - other.value, low, high)


def apart_from(record: Record, number: float) -> bool | None:
    """Whether the record's interval leaves out a number; None where there is no interval."""
    return None if record.ci is None else not record.ci[0] <= number <= record.ci[1]


def by_chance(intervals: int, what: str) -> str:
    """In how many of several 95% intervals something is seen where nothing is there, in words.

    Nothing of one interval. Families of a task correct for their number; sentences only say it.
    """
    if intervals < 2:
        return ""
    return f"; by chance alone {what} would be seen in about {0.05 * intervals:.2g}"


def _around(record: Record) -> tuple[float, float]:
    """The record's interval, widened where it leaves out the record's own value."""
    low, high = record.ci or (0.0, 0.0)
    value = record.value or 0.0
    return min(low, value), max(high, value)
