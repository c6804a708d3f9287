"""The scores of a log as a whole: means with their errors, and who gave them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness_exports.arms.scores import ArmScore


def total(score: ArmScore) -> dict[str, Any]:
    """An `EvalScore`: mean, standard error, ends of the 95% interval; none where it is undefined.

    The mean is the record's, where the results have one, which the verdicts give, too.
    """
    record = score.record
    value = score.mean if record is None else record.value
    low, high = (None, None) if record is None or record.ci is None else record.ci
    numbers = {"mean": value, "stderr": score.standard_error, "ci_low": low, "ci_high": high}
    return {
        "name": score.key,
        "scorer": score.key,
        "scored_samples": score.n,
        "unscored_samples": len(score.values) - score.n,
        "params": {},
        "metrics": {
            name: {"name": name, "value": number, "params": {}}
            for name, number in numbers.items()
            if value is not None and number is not None
        },
        "metadata": _facts(score),
    }


def _facts(score: ArmScore) -> dict[str, Any]:
    record = score.record
    if record is None:
        return {"record": None, "n": score.n}
    return {
        "record": record.id,
        "unit": record.unit,
        "n": record.n,
        "n_of": record.n_of,
        "clusters": record.clusters,
        "ci_why": record.ci_why,
        "undefined": record.undefined,
        "null": None if record.null is None else dict(record.null),
        "options": dict(record.options),
        "stderr": "from the verdicts, with different prompts as clusters",
        "ci": "95%, of the results of the run",
    }


def scorers(scores: Sequence[ArmScore]) -> list[dict[str, Any]]:
    """Who scored: one `EvalScorer` for each score of each judge."""
    return [
        {
            "name": score.key,
            "options": {} if score.record is None else dict(score.record.options),
            "metrics": [{"name": name} for name in ("mean", "stderr", "ci_low", "ci_high")],
            "metadata": {"evaluator": score.evaluator, "score": score.name},
        }
        for score in scores
    ]
