"""A number that a claim is about, with its interval: of a record, of draws, or of two of those."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import special

from harness.claims.more import rate_limits
from harness.claims.redraw import Joined, Mean, Model, Pairs, Rate, Widened
from harness.contract import Record
from harness.results.intervals import wilson
from harness.results.mover import Interval, mover_difference, mover_ratio
from harness.results.paired import PromptScores, paired_difference, paired_ratio

OWN = "interval of the record"


@dataclass(frozen=True)
class Number:
    """A value with a 95% interval, or why there is none of either."""

    value: float
    n: int
    n_of: str
    method: str
    """How the interval was made."""
    ci: Interval | None = None
    ci_why: str | None = None
    model: Model | None = None
    """How it would vary if it were measured again; there is one exactly where there is `ci`."""
    limits: Interval | None = None
    """What must leave out a bound to decide, where that is wider than `ci`."""
    scores: PromptScores | None = None
    """What it is the mean of, where it is one of scores of prompts."""
    yes_no: bool = False
    draws_half: float = 0.0
    """Half the width of the interval of its mean over draws: more prompts leave it as it is."""

    @property
    def decisive(self) -> Interval | None:
        """What must leave out a bound to decide a claim."""
        return self.limits or self.ci


def of_record(record: Record, value: float) -> Number:
    """The number of one record, which has this value, with the record's own interval."""
    n, n_of = _size(record)
    if record.ci is None:
        why = f"it has no interval ({record.ci_why or 'no reason was given'})"
        return Number(value, n, n_of, OWN, ci_why=why)
    rate = _rate(record, value)
    if rate is not None:
        limits = rate_limits(rate.successes, rate.n)
        return Number(value, n, n_of, OWN, record.ci, model=rate, limits=limits)
    low, high = min(record.ci[0], value), max(record.ci[1], value)
    return Number(value, n, n_of, OWN, record.ci, model=Mean(value, low, high, n))


def of_draws(numbers: Sequence[Number]) -> Number:
    """The mean over draws, which are a sample of all that might have been drawn.

    Its interval has two parts, added as roots of sums of squares: `± t √(s²/m)` with s the standard
    deviation of the m values, and that of the prompts, which all draws share: the mean of the lower
    ends to the mean of the upper ends, as if all draws erred alike.
    """
    m = len(numbers)
    values = [one.value for one in numbers]
    mean = math.fsum(values) / m
    half = draws_half(values)
    first = min(numbers, key=lambda one: one.n)
    found = Number(mean, first.n, first.n_of, f"mean of {m} draws", draws_half=half)
    missing = next((one.ci_why for one in numbers if one.ci is None), None)
    if missing is not None:
        return replace(found, ci_why=missing)
    low = math.fsum(one.ci[0] for one in numbers if one.ci) / m
    high = math.fsum(one.ci[1] for one in numbers if one.ci) / m
    ci = _widened((low, high), mean, half)
    return replace(found, ci=ci, model=Widened(Mean(mean, low, high, first.n), half))


def draws_half(values: Sequence[float]) -> float:
    """Half the width of the 95% interval of a mean over draws, by Student's t; 0 for one draw."""
    m = len(values)
    if m < 2:
        return 0.0
    return float(special.stdtrit(m - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(m))


def difference(left: Number, right: Number) -> Number:
    """`left - right`: over the prompts that both have, else from both intervals."""
    value, draws = left.value - right.value, math.hypot(left.draws_half, right.draws_half)
    fewer = min(left, right, key=lambda one: one.n)
    if left.scores is not None and right.scores is not None and _same(left, right):
        yes_no = left.yes_no and right.yes_no
        found = paired_difference(right.scores, left.scores, yes_no=yes_no)
        if found.ci is not None and found.rose is not None and found.fell is not None:
            once = all(len(v) == 1 for side in (left, right) for v in (side.scores or {}).values())
            model: Model = (
                Pairs(found.rose, found.fell, len(left.scores))
                if yes_no and once
                else Mean(value, min(found.ci[0], value), max(found.ci[1], value), fewer.n)
            )
            return _joined(fewer, value, found.ci, found.method or "paired", model, draws)
    if left.ci is None or right.ci is None or left.model is None or right.model is None:
        return replace(fewer, value=value, ci=None, ci_why=left.ci_why or right.ci_why)
    ci = mover_difference(left.value, left.ci, right.value, right.ci)
    return _joined(fewer, value, ci, MOVER, Joined(left.model, right.model, "-"), 0.0, draws)


MOVER = "both intervals (MOVER), as if both numbers were independent"


def ratio(top: Number, bottom: Number) -> Number | str:
    """`top / bottom`, or why there is none: over the prompts that both have, else from both
    intervals."""
    if bottom.value == 0:
        return "the divisor is 0"
    value = top.value / bottom.value
    fewer = min(top, bottom, key=lambda one: one.n)
    draws = math.hypot(top.draws_half, value * bottom.draws_half) / abs(bottom.value)
    if top.scores is not None and bottom.scores is not None and _same(top, bottom):
        ci, _ = paired_ratio(top.scores, bottom.scores)
        if ci is not None:
            model = Mean(value, min(ci[0], value), max(ci[1], value), fewer.n)
            return _joined(fewer, value, ci, "interval over shared prompts", model, draws)
    if top.ci is None or bottom.ci is None or top.model is None or bottom.model is None:
        return replace(fewer, value=value, ci=None, ci_why=top.ci_why or bottom.ci_why)
    ci, why = mover_ratio(top.value, top.ci, bottom.value, bottom.ci)
    if ci is None:
        return replace(fewer, value=value, ci=None, ci_why=why, model=None, limits=None)
    return _joined(fewer, value, ci, MOVER, Joined(top.model, bottom.model, "/"), 0.0, draws)


def join(left: Number, right: Number, how: Literal["-", "/"]) -> Number | str:
    """Both as a claim joins them."""
    return difference(left, right) if how == "-" else ratio(left, right)


def minus_constant(number: Number, constant: float) -> Number:
    """The number with its interval moved down by a constant, such as a null."""

    def moved(ci: Interval | None) -> Interval | None:
        return None if ci is None else (ci[0] - constant, ci[1] - constant)

    return replace(
        number,
        value=number.value - constant,
        ci=moved(number.ci),
        limits=moved(number.limits),
        scores=None,
    )


def _joined(
    fewer: Number,
    value: float,
    ci: Interval,
    method: str,
    model: Model,
    half: float,
    known: float | None = None,
) -> Number:
    """A joined number; `half` is what the error of draws adds to `ci`, `known` what is in it."""
    if half:
        method += ", and the spread of the draws"
        ci, model = _widened(ci, value, half), Widened(model, half)
    spread = half if known is None else known
    return Number(value, fewer.n, fewer.n_of, method, ci, model=model, draws_half=spread)


def _same(left: Number, right: Number) -> bool:
    return (left.scores or {}).keys() == (right.scores or {}).keys()


def _widened(ci: Interval, value: float, half: float) -> Interval:
    return value - math.hypot(value - ci[0], half), value + math.hypot(ci[1] - value, half)


def _size(record: Record) -> tuple[int, str]:
    """What a user adds to make the number surer: documents rather than their tokens."""
    if record.n_of == "tokens" and record.clusters:
        return record.clusters, "documents"
    return record.n, record.n_of


def _rate(record: Record, value: float) -> Rate | None:
    """The rate that a record is, known by its interval: Wilson's of its n."""
    if record.ci is None or not 0 <= value <= 1 or record.n < 1:
        return None
    successes = round(value * record.n)
    expected = wilson(successes, record.n)
    close = all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(record.ci, expected, strict=True))
    return Rate(successes, record.n) if close and abs(successes / record.n - value) < 1e-9 else None
