"""The number that stands for a run in a list: what it claims, else what its arms did, else what it
measured first. The same task always shows the same number, so that a column of a list compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.contract import Record, Results
from harness.results.experiments import experiment_scores, records_by_experiment
from harness.results.numbers import format_number
from harness.results.records import record_name
from harness.results.series import DRAW

_UNEDITED = "none"
_MOST = 2
"""Claims whose numbers are shown."""


def headline(results: Results) -> str:
    """One line of hostile text; empty where the run has no number to show."""
    return _claimed(results) or _arms(results) or _measured(results) or _first(results)


def _claimed(results: Results) -> str:
    """`mediation 0.12, control 0.9`: the effects that the first claims are about."""
    effects = [claim for claim in results.claims if claim.effect is not None]
    return ", ".join(f"{claim.name} {format_number(claim.effect)}" for claim in effects[:_MOST])


def _arms(results: Results) -> str:
    """`refusal_score 0.98 → 0.03 (bypass, chat_features k=64)`: the un-edited arm, and the arm
    that is furthest from it; draws of a control are none."""
    for experiment, records in records_by_experiment(results).items():
        for (name, _), mine in experiment_scores(records).items():
            whole = [r for r in mine if "domain" not in r.axes and r.value is not None]
            plain = [r for r in whole if r.axes.get("direction") == _UNEDITED]
            if not plain:
                continue
            start = plain[0].value or 0.0
            edited = [r for r in whole if r not in plain and DRAW not in r.axes]
            if not edited:
                return f"{name} {format_number(start)} ({experiment})"
            far = max(edited, key=lambda r: abs((r.value or 0.0) - start))
            arm = _arm(far, plain[0])
            return (
                f"{name} {format_number(start)} → {format_number(far.value)} ({experiment}, {arm})"
            )
    return ""


def _arm(record: Record, plain: Record) -> str:
    more = [f"{k}={v}" for k, v in record.axes.items() if k not in plain.axes]
    return " ".join([str(record.axes.get("direction")), *more])


def _measured(results: Results) -> str:
    """`cosine.raw 0.93 to 0.99`: the first number of the task's first metric, over its places."""
    metrics = results.task.get("metrics")
    for name, told in metrics.items() if isinstance(metrics, Mapping) else ():
        method = told.get("method", name) if isinstance(told, Mapping) else name
        mine = [r for r in results.records if record_name(r).split(".")[0] == method]
        if text := _range([r for r in mine if "domain" not in r.axes]):
            return text
    return ""


def _first(results: Results) -> str:
    """The last kind of number that the run made: analyses come last, and are what it is for."""
    defined = [r for r in results.records if r.value is not None]
    return _range([r for r in defined if r.id == defined[-1].id]) if defined else ""


def _range(records: Sequence[Record]) -> str:
    """The values of the first id, from the smallest to the largest."""
    if not records:
        return ""
    values = [r.value for r in records if r.id == records[0].id and r.value is not None]
    if not values:
        return ""
    ends = dict.fromkeys(map(format_number, (min(values), max(values))))
    return f"{record_name(records[0])} {' to '.join(ends)}"
