"""Holds the numbers of a run against its gates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.contract import Record, Results
from harness.errors import DataError, suggestion
from harness.results.records import record_name
from harness.task.gates import Gate, parse
from harness.task.terms import Term


@dataclass(frozen=True)
class Checked:
    """A gate held against one record; without a record, nothing of that kind was measured."""

    gate: Gate
    passed: bool
    message: str
    """What was found, in words."""
    record: Record | None = None


def check(gates: Sequence[Gate], records: Sequence[Record]) -> list[Checked]:
    """Every gate against every record that it is about.

    A gate without a record fails, and so does one whose record is undefined: a number that was
    not measured is no number that is fine.
    """
    return [found for gate in gates for found in _check(gate, records)]


def check_results(results: Results) -> list[Checked]:
    """The gates of a run's own task; DataError where one of them is no condition."""
    written = results.task.get("gates", {})
    try:
        gates = [parse(name, str(table["assert"])) for name, table in written.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"gates: {error}.") from error
    return check(gates, results.records)


def _check(gate: Gate, records: Sequence[Record]) -> Iterator[Checked]:
    named = [r for r in records if gate.id in (r.id, record_name(r))]
    found = [record for record in named if Term(gate.id, gate.axes).fits(record.axes)]
    if not found:
        yield Checked(gate, False, _missing(gate, named, records))
    for record in found:
        number, why = _number(gate, record)
        where = f"{record.id}[{', '.join(f'{k}={v}' for k, v in record.axes.items())}]"
        if number is None:
            yield Checked(gate, False, f"{where} is undefined: {why}", record)
        else:
            passed = gate.holds(number)
            verb = "is" if gate.bound == "value" else f"has the {gate.bound} end"
            yield Checked(gate, passed, f"{where} {verb} {number:.4g}", record)


def _number(gate: Gate, record: Record) -> tuple[float | None, str]:
    if record.value is None:
        return None, record.undefined or "no reason was given"
    if gate.bound == "value":
        return record.value, ""
    if record.ci is None:
        return None, f"it has no interval ({record.ci_why or 'no reason was given'})"
    return record.ci[0 if gate.bound == "low" else 1], ""


def _missing(gate: Gate, named: Sequence[Record], records: Sequence[Record]) -> str:
    if not named:
        known = set(map(record_name, records))
        return f"no record {gate.id} was measured.{suggestion(gate.id, known)}"
    axes = sorted({key for record in named for key in record.axes})
    values = "; ".join(
        f"{key}: {', '.join(sorted({str(r.axes.get(key, '-')) for r in named}))}"
        for key in gate.axes
        if key in axes
    )
    unknown = [key for key in gate.axes if key not in axes]
    what = f"it has no axis {unknown[0]}, but {', '.join(axes)}" if unknown else values
    return f"no record {gate.id} has these axes: {what}."
