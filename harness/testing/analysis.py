"""Laws that every analysis keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

from harness.contract import Analysis, Findings, Outcome, Record
from harness.testing.evaluator import HOSTILE
from harness.testing.support.given import written
from harness.testing.support.laws import law, raises_nothing, untried
from harness.testing.support.outcomes import check_outcome

_TEXT = {"text", "prompt", "completion", "thought", "description"}
"""Columns of tables in which models and sources of labels write."""


def check_analysis(analysis: Analysis, findings: Findings) -> None:
    """Raises AssertionError, naming the law, where an analysis breaks one.

    Laws: findings are not changed · deterministic · the order of completions changes no record ·
    records are sound: an id with a version, a finite value or a reason, an interval around it ·
    one record for each id, options and axes · the axis `analysis` is the core's · tables have rows
    of plain values · no directions · nothing found, nothing raised · hostile text does not raise.
    """
    before = written(findings)
    first = _outcome(analysis, findings)
    law(written(findings) == before, "findings are not changed", "what was given is different now")
    law(_text(_outcome(analysis, findings)) == _text(first), "deterministic", "two runs differ")
    rows = [*findings.tables.get("completions", ())]
    if not rows:
        name = "the order of completions changes no record"
        untried("no sample has the table `completions`; add it where completions are read", name)
    hostile = _hostile(findings)
    if hostile is None:
        name = "hostile text does not raise"
        untried("no table of the samples has text that a model or a source of labels wrote", name)
    if not first.records:
        untried(
            "no record comes out of the samples",
            "records are sound: an id with a version, a finite value or a reason, an interval "
            "around it",
            "one record for each id, options and axes",
            "the axis `analysis` is the core's",
        )
    if not first.tables:
        untried("no table comes out of the samples", "tables have rows of plain values")
    backwards = _outcome(analysis, _with_completions(findings, rows[::-1]))
    unmoved = _sorted(backwards.records) == _sorted(first.records)
    law(unmoved, "the order of completions changes no record", "reversed, they differ")
    with raises_nothing("nothing found, nothing raised"):
        _outcome(analysis, Findings())
        _outcome(analysis, replace(findings, records=()))
    if hostile is not None:
        with raises_nothing("hostile text does not raise"):
            _outcome(analysis, hostile)


def _with_completions(findings: Findings, rows: Sequence[Mapping[str, Any]]) -> Findings:
    return replace(findings, tables={**findings.tables, "completions": rows})


def _hostile(findings: Findings) -> Findings | None:
    """The findings with hostile text in all columns of text; None where no table has one."""
    tables = {
        name: [
            {key: text if key in _TEXT else value for key, value in row.items()}
            for row, text in zip(rows, cycle(HOSTILE), strict=False)
        ]
        for name, rows in findings.tables.items()
    }
    has = any(_TEXT & row.keys() for rows in tables.values() for row in rows)
    return replace(findings, tables=tables) if has else None


def _outcome(analysis: Analysis, findings: Findings) -> Outcome:
    outcome = analysis.run(findings)
    law(isinstance(outcome, Outcome), "an analysis gives an Outcome", f"{outcome!r:.200}")
    check_outcome(outcome)
    for record in outcome.records:
        what = f"{record.id}: {record!r:.500}"
        law((record.ci is None) == bool(record.ci_why), "an interval or a reason", what)
        law("analysis" not in record.axes, "the axis `analysis` is the core's", what)
    return outcome


def _sorted(records: Sequence[Record]) -> list[str]:
    return sorted(_record_text(record) for record in records)


def _record_text(record: Record) -> str:
    identity = json.dumps([record.id, record.options, record.axes], sort_keys=True, default=str)
    return f"{identity} {record.value} {record.ci} {record.n} {record.undefined}"


def _text(outcome: Outcome) -> str:
    tables = {name: [dict(row) for row in rows] for name, rows in outcome.tables.items()}
    return json.dumps([[str(r) for r in outcome.records], tables], sort_keys=True, default=str)
