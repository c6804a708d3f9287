"""Template: what an edit did to a score, beside the un-edited arm and the controls."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Record, Results
from harness.results.answer.degenerate import degenerate_note
from harness.results.answer.difference import Difference, difference
from harness.results.answer.sentence import Sentence
from harness.results.arms import Arms, all_arms, common_step, direction, draws_of, prompts
from harness.results.numbers import format_estimate, format_number
from harness.results.series import Series

_SEEN, _UNSEEN, _NO_CONTROL, _LATER_SCORE = 0.55, 0.62, 0.05, 0.22


def effects(results: Results) -> Iterator[Sentence]:
    """A sentence for each direction and score: lowered, raised, or no difference seen.

    Where no direction stands alone, the rankings are taken at the step that they share. A score
    that is the same in all arms has nothing to say here.
    """
    for arms in all_arms(results):
        edited = arms.single or _at_common_step(arms, results)
        before = arms.unedited
        if before is None or before.value is None or (arms.position and arms.is_constant):
            continue
        for after in edited:
            if after.value is not None:
                yield _sentence(arms, before, after)


def _at_common_step(arms: Arms, results: Results) -> tuple[Record, ...]:
    step = common_step(arms.axis, arms.rankings, arms.controls, results.task)
    found = [] if step is None else [arms.step(one, step) for one in arms.rankings]
    return tuple(record for record in found if record is not None)


def _sentence(arms: Arms, before: Record, after: Record) -> Sentence:
    change = difference(after, before)
    drawn = [record for one in arms.controls for record in one.records]
    counted = prompts([before, after])
    place = f"({arms.experiment}, {counted})"
    what = f"{arms.edit} of {direction(after)}{_step(arms, after)}"
    ends = f"from {format_estimate(before)} to {format_estimate(after)}"
    if change is None:
        text = f"{_first(what)} takes {arms.score} {ends} {place}; there is no interval to judge by"
    elif change.seen:
        verb = "raises" if change.value > 0 else "lowers"
        text = f"{_first(what)} {verb} {arms.score} {ends} {place}"
    else:
        text = (
            f"No difference seen in {arms.score} after {what}: {format_estimate(after)}, "
            f"{format_estimate(before)} without {place}"
        )
    text += "".join(f"; {_control(one, before, after, change)}" for one in arms.controls)
    if not arms.controls:
        text += "; no control was measured"
    note = degenerate_note(arms, after)
    weight = _weight(change, after, bool(arms.controls)) - _LATER_SCORE * min(arms.position, 2) / 2
    return Sentence(f"{text}{note}.", max(0.05, weight), (before, after, *drawn))


def _control(control: Series, before: Record, after: Record, change: Difference | None) -> str:
    """The range of the draws, and whether the effect goes beyond the draw that is nearest."""
    values = control.values
    if not values:
        return f"{draws_of(control)}: undefined"
    text = f"{draws_of(control)}: {format_number(min(values))} to {format_number(max(values))}"
    if change is None or not change.seen or after.value is None or before.value is None:
        return text
    sign = 1.0 if change.value > 0 else -1.0
    defined = [record for record in control.records if record.value is not None]
    best = max(defined, key=lambda record: sign * (record.value or 0.0))
    beyond = difference(after, best)
    if beyond is None or (beyond.seen and beyond.value * sign > 0):
        return text
    less = beyond.seen or change.value == 0
    return f"{text}, {'further than' if less else 'no difference seen to'} the direction itself"


def _step(arms: Arms, record: Record) -> str:
    if arms.axis is None or arms.axis not in record.axes or arms.single:
        return ""
    return f" at {arms.axis} = {record.axes[arms.axis]}"


def _weight(change: Difference | None, after: Record, controlled: bool) -> float:
    """More for a larger effect, of what is possible for a share."""
    if change is None or not change.seen:
        return _UNSEEN
    size = min(1.0, abs(change.value)) if after.unit == "share" else 0.5
    return _SEEN + 0.4 * size - (0.0 if controlled else _NO_CONTROL)


def _first(text: str) -> str:
    """With a capital letter; what the task calls things stays as it is."""
    return text[:1].upper() + text[1:]
