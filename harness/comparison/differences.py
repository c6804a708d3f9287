"""The difference of each number between two runs, from their samples where they have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.comparison.identity import plain_json
from harness.contract import Record
from harness.results.paired import (
    Difference,
    paired_difference,
    shared_values,
    unpaired_difference,
)
from harness.results.records import grouped
from harness.results.samples import Run, Scores

_NO_DOCUMENTS = (
    "results keep no values by document of this number, so how far the errors of both runs go "
    "together is unknown"
)
_SAME_TEXTS = (
    "the runs share texts of prompts under different ids (other columns of the data), so they are "
    "neither pairs nor independent"
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
    experiment = str(one.axes["experiment"])
    for run in (first, second):
        if experiment not in run.samples.rows:
            return replace(plain, ci_why=f"{run.name} holds no samples/{experiment}.jsonl")
    if not names:
        why = "no verdicts in the samples of both runs give the values of the results"
        return replace(plain, ci_why=why)
    scores = [(first.samples.scores(one)[name], second.samples.scores(two)[name]) for name in names]
    if any(other != scores[0] for other in scores[1:]):
        why = f"several scores in the samples have these values: {', '.join(names)}"
        return replace(plain, ci_why=why)
    found = _from_prompts(*scores[0])
    if not found.paired and first.samples.texts(one) & second.samples.texts(two):
        return replace(plain, ci_why=_SAME_TEXTS)
    return found


def _undefined(first: Run, second: Run, pair: Pair) -> str:
    reasons = [
        (run.name, record.undefined or "undefined")
        for run, record in zip((first, second), pair, strict=True)
        if record.value is None
    ]
    if len(reasons) == 2 and reasons[0][1] == reasons[1][1]:
        return f"in both: {reasons[0][1]}"
    return "; ".join(f"in {name}: {reason}" for name, reason in reasons)


def _from_prompts(first: Scores, second: Scores) -> Difference:
    """The difference over the prompts that both judged; over all where they share none."""
    one, two = first.by_prompt, second.by_prompt
    yes_no = first.yes_no and second.yes_no
    shared = one.keys() & two.keys()
    if not shared:
        return unpaired_difference(one, two, yes_no=yes_no)
    found = paired_difference(one, two, yes_no=yes_no)
    if shared == one.keys() == two.keys():
        return found
    values = shared_values(one, two)
    note = (
        f"over the {len(shared)} prompts that both runs judged, of {len(one)} and {len(two)}: both "
        "values and their difference"
    )
    return replace(found, first=values[0], second=values[1], note=note)
