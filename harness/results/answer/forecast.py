"""Templates: whether a forecast of transfer foretold what happened, and what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.contract import Record, Results
from harness.results.answer.difference import apart_from, by_chance
from harness.results.answer.sentence import Sentence
from harness.results.numbers import format_estimate
from harness.results.records import by_axis, grouped, named, null_value

_BASELINE = "sts.baseline."


def forecasts(results: Results) -> Iterator[Sentence]:
    """A sentence for each comparison: which forecasts are evidence, and which are none.

    Only correlations over all domains count, and only those of forecasts, not of baselines.
    """
    mine = [
        r
        for r in named(results.records, "sts.correlation.pearson")
        if r.axes.get("domains") == "all" and not str(r.axes.get("forecast")).startswith(_BASELINE)
    ]
    for place, (analysis, found) in enumerate(by_axis(mine, "analysis").items()):
        for one in _verdicts(results, str(analysis), found):
            yield Sentence(one.text, one.weight - 0.1 * min(place, 3), one.evidence)


def _verdicts(results: Results, analysis: str, found: Sequence[Record]) -> Iterator[Sentence]:
    """A sentence for the forecasts of one comparison that came out alike."""
    for verdict, mine in grouped(found, _verdict).items():
        one = len(mine) == 1
        over = f"over {mine[0].n} {mine[0].n_of} ({analysis})"
        numbers = " and ".join(f"{r.axes.get('forecast')} {format_estimate(r)}" for r in mine)
        name = str(mine[0].axes.get("forecast"))
        weight, text = {
            "none": (
                0.85,
                f"No evidence of a forecast: Pearson's r with the size of the change {over} is "
                f"{numbers}, and the interval{'' if one else 's'} hold{'s' if one else ''} 0",
            ),
            "positive": (
                0.9,
                f"What was forecast higher changed more: Pearson's r {over} is {numbers}",
            ),
            "negative": (
                0.9,
                f"What was forecast higher changed less: Pearson's r {over} is {numbers}",
            ),
            "unjudged": (
                0.3,
                f"Pearson's r with the size of the change {over} is {numbers}; there is no "
                "interval to judge by",
            ),
            "undefined": (0.3, f"{name} has no correlation {over}: {mine[0].undefined}"),
        }[verdict]
        yield Sentence(f"{text}.", weight, (*mine, *_behind(results, mine)))


def _verdict(record: Record) -> str:
    if record.value is None:
        return "undefined"
    apart = apart_from(record, null_value(record) or 0.0)
    if apart is None:
        return "unjudged"
    return "none" if not apart else "positive" if record.value > 0 else "negative"


def _behind(results: Results, correlations: Sequence[Record]) -> Iterator[Record]:
    """The forecasts and the changes that were held against each other."""
    for one in correlations:
        for record in named(results.records, str(one.axes.get("forecast")), "accuracy.change"):
            if record.axes.get("analysis") in (one.options.get("sts"), one.axes.get("analysis")):
                yield record


def accuracy_changes(results: Results) -> Iterator[Sentence]:
    """One sentence: the domain whose accuracy changed most, and in how many no change was seen."""
    found = [
        r
        for r in named(results.records, "accuracy.change")
        if "domain" in r.axes and r.value is not None
    ]
    for mine in list(by_axis(found, "analysis").values())[:1]:
        judged = [r for r in mine if r.ci is not None]
        seen = [r for r in judged if apart_from(r, null_value(r) or 0.0)]
        if not judged:
            continue
        if not seen:
            text = f"No change of accuracy seen in any of {len(judged)} domains."
            yield Sentence(text, 0.6, tuple(mine))
            continue
        most = max(seen, key=lambda record: abs(record.value or 0.0))
        verb = "rose" if (most.value or 0.0) > 0 else "fell"
        ends = most.ci or (0.0, 0.0)
        low, high = sorted(map(abs, ends))
        points = f"{abs(most.value or 0.0):.0f} [{low:.0f}, {high:.0f}] percentage points"
        rest = len(judged) - len(seen)
        text = (
            f"Accuracy {verb} most in {most.axes['domain']}, by {points}; no change seen in {rest} "
            f"of {len(judged)} domains{by_chance(len(judged), 'one')}."
        )
        yield Sentence(text, 0.75, tuple(mine))


def shift_overlaps(results: Results) -> Iterator[Sentence]:
    """A sentence for each kind of dimension: how many of those that one change moves most are
    those that another moves most, beside chance."""
    found = grouped(
        [r for r in named(results.records, "shift.overlap") if r.value is not None],
        lambda r: (r.axes.get("shift"), r.axes.get("against"), r.axes.get("space")),
    )
    for (shift, against, space), mine in found.items():
        first = mine[0]
        null = null_value(first)
        chance = "" if null is None else f", {100 * null:.0f}% by chance"
        text = (
            f"Of the {space} that {shift} moves most, {100 * (first.value or 0.0):.0f}% are "
            f"among those that {against} moves most{chance} (no interval)."
        )
        yield Sentence(text, 0.35, (first,))
