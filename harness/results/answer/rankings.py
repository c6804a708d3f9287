"""Template: which ranking of features comes how far, all at the same step of their sweep."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Record, Results
from harness.results.answer.degenerate import degenerate_note
from harness.results.answer.difference import difference
from harness.results.answer.sentence import Sentence
from harness.results.arms import Arms, all_arms, common_step, direction
from harness.results.numbers import format_estimate, format_number
from harness.results.series import Series, axis_value

_NEAR = 0.1
"""A ranking has arrived where this share of the true direction's effect, or less, is missing."""


def rankings(results: Results) -> Iterator[Sentence]:
    """A sentence for each score: the swept directions beside each other, and who arrives first.

    Says nothing where nothing is swept, and where no arm differs from the un-edited one.
    """
    for arms in all_arms(results):
        step = common_step(arms.axis, arms.rankings, arms.controls, results.task)
        if step is None or not _any_effect(arms):
            continue
        shown = [(one, arms.step(one, step)) for one in arms.rankings]
        found = [(one, record) for one, record in shown if record is not None]
        drawn = [record for one in arms.controls for record in one.records]
        text = f"At {arms.axis} = {step:g} ({arms.experiment}, {arms.score}): "
        text += ", ".join(_one(arms, one, record) for one, record in found) + _between(found)
        if len(arms.single) == 1:
            text += _arrivals(arms, arms.single[0])
        records = [record for one in arms.rankings for record in one.records]
        before = [] if arms.unedited is None else [arms.unedited]
        weight = 0.5 + 0.3 * _spread(found) - 0.1 * min(arms.position, 2)
        yield Sentence(f"{text}.", weight, (*before, *records, *drawn))


_At = tuple[Series, Record]
"""A ranking, and its record at the step."""


def _one(arms: Arms, ranking: Series, record: Record) -> str:
    note = degenerate_note(arms, record).removeprefix("; but ")
    more = f" ({note})" if note else ""
    return f"`{ranking.label}` {format_estimate(record)}{more}"


def _between(found: list[_At]) -> str:
    """Where there are two: whether they differ."""
    if len(found) != 2:
        return ""
    apart = difference(found[0][1], found[1][1])
    return ", no difference seen between them" if apart is not None and not apart.seen else ""


def _any_effect(arms: Arms) -> bool:
    """Whether any edited arm differs from the un-edited one."""
    before = arms.unedited
    if before is None:
        return False
    edited = [*arms.single, *(record for one in arms.rankings for record in one.records)]
    return any((found := difference(r, before)) is not None and found.seen for r in edited)


def _arrivals(arms: Arms, true: Record) -> str:
    """From which step on each ranking is within a tenth of the true direction."""
    before = arms.unedited
    if before is None or before.value is None or true.value is None:
        return ""
    effect = difference(true, before)
    if effect is None or not effect.seen:
        return ""
    parts = []
    for one in arms.rankings:
        steps = [r for r in one.records if r.value is not None]
        near = [r for r in steps if abs(r.value - true.value) <= _NEAR * abs(effect.value)]  # type: ignore[operator]
        first = min((x for r in near if (x := axis_value(r, arms.axis)) is not None), default=None)
        at = f"at none of {len(steps)} steps" if first is None else f"at {arms.axis} = {first:g}"
        parts.append(f"`{one.label}` {at}")
    tenth = f"a tenth of the effect of {direction(true)}"
    return f"; first within {tenth} ({format_number(true.value)}): {', '.join(parts)}"


def _spread(found: list[_At]) -> float:
    values = [record.value for _, record in found if record.value is not None]
    return min(1.0, max(values) - min(values)) if values else 0.0
