"""Whether two numbers differ: the interval of their difference, made from their own intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.contract import Record


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

    With d = a - b, the low end is d - sqrt((a - a_low)² + (b_high - b)²), the high end
    d + sqrt((a_high - a)² + (b - b_low)²). Right where the two are independent; too wide where both
    are of the same prompts and go up and down together, so it rather says too little than too much.
    Source: Newcombe 1998 (method 10) for shares, Zou and Donner 2008 for any numbers.
    """
    if one.value is None or other.value is None or one.ci is None or other.ci is None:
        return None
    value = one.value - other.value
    down = math.hypot(_gap(one.ci[0], one.value), _gap(other.value, other.ci[1]))
    up = math.hypot(_gap(one.value, one.ci[1]), _gap(other.ci[0], other.value))
    return Difference(value, value - down, value + up)


def apart_from(record: Record, number: float) -> bool | None:
    """Whether the record's interval leaves out a number; None where there is no interval."""
    return None if record.ci is None else not record.ci[0] <= number <= record.ci[1]


def _gap(low: float, high: float) -> float:
    return max(0.0, high - low)
