"""Intervals of a difference and of a ratio, made from the intervals of both numbers (MOVER).

*Method of variance estimates recovery*: each end of an interval tells the variance there, so skewed
intervals such as Wilson's stay skewed. Both numbers count as independent: where they are made of
the same prompts and go together, the interval is too wide rather than too narrow.
"""

from __future__ import annotations

import math

Interval = tuple[float, float]


def mover_difference(
    first: float, first_ci: Interval, second: float, second_ci: Interval
) -> Interval:
    """The interval of `first - second`.

    `d − √((a − l_a)² + (u_b − b)²)` to `d + √((u_a − a)² + (b − l_b)²)` with d = a − b.
    Source: G. Y. Zou and A. Donner, Statistics in Medicine 27, 2008, equation 4.
    """
    difference = first - second
    return (
        difference - math.hypot(first - first_ci[0], second_ci[1] - second),
        difference + math.hypot(first_ci[1] - first, second - second_ci[0]),
    )


def mover_ratio(
    top: float, top_ci: Interval, bottom: float, bottom_ci: Interval
) -> tuple[Interval | None, str | None]:
    """The interval of `top / bottom`, or why there is none.

    Holds every R for which 0 lies in the MOVER interval of `top − R · bottom`; its ends solve
    `(a − R b)² = (a − end_a)² + R² (b − end_b)²` (Fieller's equation). Undefined where the interval
    of the divisor holds 0. Source: A. Donner and G. Y. Zou, Statistical Methods in Medical Research
    21, 2012, equation 9, which is this for positive numbers.
    """
    if bottom_ci[0] <= 0 <= bottom_ci[1]:
        return None, "the interval of the divisor holds 0"
    if bottom < 0:
        return mover_ratio(-top, _negated(top_ci), -bottom, _negated(bottom_ci))
    if top < 0:
        found, why = mover_ratio(-top, _negated(top_ci), bottom, bottom_ci)
        return (None, why) if found is None else (_negated(found), None)
    low, high = top_ci
    # Where R is negative, the other end of the divisor makes `top − R · bottom` smallest.
    return (
        _smaller(top, low, bottom, bottom_ci[1] if low > 0 else bottom_ci[0]),
        _larger(top, high, bottom, bottom_ci[0]),
    ), None


def _smaller(top: float, low: float, bottom: float, end: float) -> float:
    """The smaller root; written so that nothing cancels, also where the equation is linear."""
    product, rest = top * bottom, low * (2 * top - low)
    root = math.sqrt(max(0.0, product * product - end * (2 * bottom - end) * rest))
    return rest / (product + root) if product + root > 0 else 0.0


def _larger(top: float, high: float, bottom: float, end: float) -> float:
    product, rest, leading = top * bottom, high * (2 * top - high), end * (2 * bottom - end)
    return (product + math.sqrt(max(0.0, product * product - leading * rest))) / leading


def _negated(ci: Interval) -> Interval:
    return -ci[1], -ci[0]
