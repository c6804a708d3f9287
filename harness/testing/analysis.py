"""Laws that every analysis keeps."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.contract import Analysis, Findings, Outcome, Record
from harness.testing.evaluator import HOSTILE

_ID = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*@[0-9]+")


def check_analysis(analysis: Analysis, findings: Findings) -> None:
    """Raises AssertionError, naming the law, where an analysis breaks one.

    Laws: findings are not changed · deterministic · the order of completions changes no record ·
    records are sound: an id with a version, a finite value or a reason, an interval around it ·
    one record for each id, options and axes · the axis `analysis` is the core's · tables have rows
    of plain values · no directions · nothing found, nothing raised · hostile text does not raise.
    """
    before = copy.deepcopy(findings)
    first = _outcome(analysis, findings)
    _law(_same(findings, before), "findings are not changed", "what was given is different now")
    _law(_plain(_outcome(analysis, findings)) == _plain(first), "deterministic", "two runs differ")
    turned = {**findings.tables}
    turned["completions"] = [*turned.get("completions", ())][::-1]
    backwards = _outcome(analysis, replace(findings, tables=turned))
    law = "the order of completions changes no record"
    _law(_sorted(backwards.records) == _sorted(first.records), law, "reversed, they differ")
    try:
        _outcome(analysis, Findings())
        _outcome(analysis, replace(findings, records=()))
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"law broken: nothing found, nothing raised: {error!r}") from error
    rows = [*findings.tables.get("completions", ())]
    texts = [HOSTILE[index % len(HOSTILE)] for index in range(len(rows))]
    hostile = [
        {**row, "text": text, "prompt": text, "completion": text}
        for row, text in zip(rows, texts, strict=True)
    ]
    try:
        _outcome(analysis, replace(findings, tables={**findings.tables, "completions": hostile}))
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"law broken: hostile text does not raise: {error!r}") from error


def _outcome(analysis: Analysis, findings: Findings) -> Outcome:
    outcome = analysis.run(findings)
    _law(isinstance(outcome, Outcome), "an analysis gives an Outcome", repr(outcome)[:200])
    _law(not outcome.directions, "no directions", f"{len(outcome.directions)} came out")
    for record in outcome.records:
        _sound(record)
    identities = [_identity(record) for record in outcome.records]
    law = "one record for each id, options and axes"
    _law(len(set(identities)) == len(identities), law, f"{len(identities)} records")
    for name, rows in outcome.tables.items():
        for row in rows:
            law = "tables have rows of plain values"
            _law(isinstance(row, Mapping) and _is_plain(dict(row)), law, f"{name}: {row!r:.200}")
            _law(row.keys() == rows[0].keys(), "rows of a table have the same columns", name)
    return outcome


def _sound(record: Record) -> None:
    what = f"{record.id}: {record}"[:500]
    _law(_ID.fullmatch(record.id) is not None, "an id is name.variant@version", what)
    _law((record.value is None) == bool(record.undefined), "a value or a reason", what)
    _law(record.value is None or math.isfinite(record.value), "a value is finite", what)
    _law(bool(record.ci is None) == bool(record.ci_why), "an interval or a reason", what)
    if record.ci is not None:
        low, high = record.ci
        finite = math.isfinite(low) and math.isfinite(high)
        _law(finite and low <= high, "an interval is in order", what)
    _law(record.n >= 0 and bool(record.n_of), "n counts something", what)
    _law("analysis" not in record.axes, "the axis `analysis` is the core's", what)
    _law(_is_plain({**record.options}) and _is_plain({**record.axes}), "plain values", what)


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False).encode("utf-8")
        _encoded(value)
    except (TypeError, ValueError):
        return False
    return True


def _encoded(value: Any) -> None:
    """Raises where a text is none: lone surrogates fit into no file."""
    if isinstance(value, str):
        value.encode("utf-8")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _encoded(key)
            _encoded(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _encoded(inner)


def _identity(record: Record) -> str:
    return json.dumps([record.id, record.options, record.axes], sort_keys=True, default=str)


def _sorted(records: Sequence[Record]) -> list[str]:
    return sorted(f"{_identity(r)} {r.value} {r.ci} {r.n} {r.undefined}" for r in records)


def _plain(outcome: Outcome) -> str:
    tables = {name: [dict(row) for row in rows] for name, rows in outcome.tables.items()}
    return json.dumps([[str(r) for r in outcome.records], tables], sort_keys=True, default=str)


def _same(one: Findings, other: Findings) -> bool:
    return one == other


def _law(kept: bool, law: str, what: str) -> None:
    if not kept:
        raise AssertionError(f"law broken: {law}: {what}")
