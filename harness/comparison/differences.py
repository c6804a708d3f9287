"""The difference of each number between two runs, from their samples where they have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.comparison.identity import plain_json
from harness.comparison.paired import (
    Difference,
    paired_difference,
    shared_values,
    unpaired_difference,
)
from harness.comparison.samples import Run, Samples, Scores
from harness.contract import Record
from harness.results.records import grouped

_NO_DOCUMENTS = (
    "results keep no values by document of this number, so how far the errors of both runs go "
    "together is unknown"
)
Pair = tuple[Record, Record]


def differences(first: Run, second: Run, pairs: Sequence[Pair]) -> list[Difference]:
    """Second minus first for records that both runs hold, in their order."""
    groups = grouped(pairs, lambda pair: _group(pair[0]))
    names = {group: _names(first, second, mine) for group, mine in groups.items()}
    return [_difference(first, second, pair, names[_group(pair[0])]) for pair in pairs]


def _group(record: Record) -> str:
    """Records that are one score of one evaluator, on several arms."""
    score = [record.id, record.options]
    return plain_json([*score, record.axes.get("experiment"), record.axes.get("evaluator")])


def _names(first: Run, second: Run, pairs: Sequence[Pair]) -> list[str]:
    """The scores in the samples that have the records' values in every arm of both runs."""
    found: set[str] | None = None
    for run, side in ((first, 0), (second, 1)):
        for pair in pairs:
            if pair[side].value is not None:
                mine = set(run.samples.scores(pair[side]))
                found = mine if found is None else found & mine
    return sorted(found or ())


def _difference(first: Run, second: Run, pair: Pair, names: Sequence[str]) -> Difference:
    one, two = pair
    if one.value is None or two.value is None:
        return Difference(undefined=_undefined(first, second, pair))
    plain = Difference(two.value - one.value)
    if "experiment" not in one.axes or "evaluator" not in one.axes:
        return replace(plain, ci_why=one.ci_why or two.ci_why or _NO_DOCUMENTS)
    for run, record in ((first, one), (second, two)):
        if why := _no_samples(run, record):
            return replace(plain, ci_why=why)
    if not names:
        why = "no verdicts in the samples of both runs give the values of the results"
        return replace(plain, ci_why=why)
    scores = [(first.samples.scores(one)[name], second.samples.scores(two)[name]) for name in names]
    if any(other != scores[0] for other in scores[1:]):
        why = f"several scores in the samples have these values: {', '.join(names)}"
        return replace(plain, ci_why=why)
    return _from_prompts(scores[0], first.samples, second.samples, pair)


def _undefined(first: Run, second: Run, pair: Pair) -> str:
    reasons = [
        (run.name, record.undefined or "undefined")
        for run, record in zip((first, second), pair, strict=True)
        if record.value is None
    ]
    if len(reasons) == 2 and reasons[0][1] == reasons[1][1]:
        return f"in both: {reasons[0][1]}"
    return "; ".join(f"in {name}: {reason}" for name, reason in reasons)


def _no_samples(run: Run, record: Record) -> str | None:
    experiment = str(record.axes["experiment"])
    if experiment not in run.samples.rows:
        return f"{run.name} holds no samples/{experiment}.jsonl"
    return None


def _from_prompts(
    scores: tuple[Scores, Scores], first: Samples, second: Samples, pair: Pair
) -> Difference:
    one, two = (side.by_prompt for side in scores)
    yes_no = all(side.yes_no for side in scores)
    shared = one.keys() & two.keys()
    if shared:
        found = paired_difference(one, two, yes_no=yes_no)
        if shared == one.keys() == two.keys():
            return found
        values = shared_values(one, two)
        note = _partly(len(shared), one, two)
        return replace(found, first=values[0], second=values[1], note=note)
    if first.texts(pair[0]) & second.texts(pair[1]):
        assert pair[0].value is not None
        assert pair[1].value is not None
        return Difference(
            pair[1].value - pair[0].value,
            ci_why="the runs share texts of prompts under different ids (other columns of the "
            "data), so they are neither pairs nor independent",
        )
    return unpaired_difference(one, two, yes_no=yes_no)


def _partly(shared: int, one: Mapping[str, object], two: Mapping[str, object]) -> str:
    return (
        f"over the {shared} prompts that both runs judged, of {len(one)} and {len(two)}: both "
        "values and their difference"
    )
