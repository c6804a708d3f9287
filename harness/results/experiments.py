"""The scores of experiments: which there are, and what they were measured on."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Record, Results
from harness.results.records import count_range, grouped, record_name

WRITTEN = "text."
"""How the ids of records begin that say how completions are written: length, repetition."""
DETAILS = ("edit.", "invalid_verdicts", WRITTEN)
"""How the ids of records begin that say how a number came to be; they have places of their own."""
_WRITTEN = {
    f"{WRITTEN}tokens": "tokens",
    f"{WRITTEN}distinct_4": "distinct-4",
    f"{WRITTEN}length_limited": "ended by the limit",
}
UNEDITED = "none"
"""What the contract calls the direction of the arm without an edit."""
ScoreKey = tuple[str, str]
"""The name of a score, and the evaluator that gave it."""


def records_by_experiment(results: Results) -> dict[str, list[Record]]:
    """The records of each experiment's arms, in order."""
    arms = [
        record for record in results.records if {"experiment", "direction"} <= record.axes.keys()
    ]
    return grouped(arms, lambda record: str(record.axes["experiment"]))


def experiment_scores(records: Sequence[Record]) -> dict[ScoreKey, list[Record]]:
    """The records of one experiment by score and evaluator, details left out.

    A variant `x.y` is left out where the same evaluator gave the score `x` itself.
    """
    scores = [record for record in records if not record.id.startswith(DETAILS)]
    found = grouped(scores, lambda r: (record_name(r), str(r.axes.get("evaluator", ""))))
    return {
        (name, evaluator): mine
        for (name, evaluator), mine in found.items()
        if (name.rpartition(".")[0], evaluator) not in found
    }


def written(records: Sequence[Record]) -> dict[str, list[Record]]:
    """How the completions of one experiment are written: records by what they are called here."""
    found = grouped(records, record_name)
    return {told: found[name] for name, told in _WRITTEN.items() if name in found}


def score_name(key: ScoreKey, among: Sequence[ScoreKey]) -> str:
    """The score's name, with its evaluator where two of them give a score of that name."""
    name, evaluator = key
    same = [other for other, _ in among if other == name]
    return name if len(same) == 1 else f"{name} ({evaluator})"


def measured_on(records: Sequence[Record]) -> str:
    """The view, data and number of prompts of an experiment: `chat on web, n = 100`."""
    axes = records[0].axes if records else {}
    data = f" on {axes['data']}" if axes.get("data") is not None else ""
    return f"{axes.get('view', '?')}{data}, n = {count_range(records)}"
