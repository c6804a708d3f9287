"""Which records a term of a claim is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.contract import Record
from harness.errors import listed, suggestion
from harness.results.records import record_name
from harness.results.series import DRAW
from harness.task.terms import Term

Fitting = tuple[Sequence[Record], str]
"""One record, or the draws of one number; where there are none, why not."""


def fitting(term: Term, records: Iterable[Record]) -> Fitting:
    """The records that a term is about: one, or several that are draws of one number."""
    records = [*records]
    named = [record for record in records if term.id in (record.id, record_name(record))]
    found = [record for record in named if term.fits(record.axes)]
    if not named:
        return [], f"no {term.id} was measured.{suggestion(term.id, map(record_name, records))}"
    if not found:
        return [], f"no {term.id} has these axes{_nearest(term, named)}"
    varying = _varying(found)
    if varying:
        return [], (
            f"{len(found)} records fit, which differ in {listed(varying)}, and a claim is about "
            "one number. Name it in the condition"
        )
    return found, ""


def control_term(term: Term, against: str, records: Iterable[Record]) -> Term:
    """The term with a control in the place of its direction; axes that the control does not have,
    such as the step of a sweep, are left out."""
    its = [
        record
        for record in records
        if term.id in (record.id, record_name(record)) and record.axes.get("direction") == against
    ]
    known = {key for record in its for key in record.axes}
    axes = {key: value for key, value in term.axes.items() if key in known or not its}
    return Term(term.id, {**axes, "direction": against})


def _nearest(term: Term, named: Sequence[Record]) -> str:
    for key, value in term.axes.items():
        if not any(Term(term.id, {key: value}).fits(record.axes) for record in named):
            known = {str(record.axes[key]) for record in named if key in record.axes}
            return f": {key} is {listed(known)}" if known else f": it has no axis {key}"
    return ""


def _varying(records: Sequence[Record]) -> list[str]:
    """On what records differ beside their draws: axes, options, ids."""
    keys = {key for record in records for key in record.axes} - {DRAW}
    found = [key for key in keys if len({str(record.axes.get(key)) for record in records}) > 1]
    if len({str(record.options) for record in records}) > 1:
        found.append("their options")
    if len({record.id for record in records}) > 1:
        found.append("their version")
    if not found and len({str(record.axes.get(DRAW)) for record in records}) < len(records):
        found.append("nothing that a condition can name")
    return found
