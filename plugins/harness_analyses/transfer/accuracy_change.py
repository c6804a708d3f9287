"""The change of the accuracy of each domain, with intervals over shared questions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.contract import Findings, Record
from harness.errors import DataError, listed
from harness.results.intervals import wilson
from harness_analyses.transfer.options import Arm

_ACCURACY = "accuracy@"


@dataclass(frozen=True)
class Change:
    """The accuracy of one domain before and after fine-tuning."""

    domain: str
    before: float
    after: float
    n: int
    ci: tuple[float, float] | None
    ci_why: str | None

    @property
    def points(self) -> float:
        """after − before, in percentage points."""
        return 100 * (self.after - self.before)


def key(domain: str) -> str:
    """A domain's name as it is compared: `Computer science` becomes `computer_science`."""
    return "_".join(domain.strip().lower().split())


def changes(
    findings: Findings, before: Arm, after: Arm, evaluator: str | None
) -> dict[str, Change]:
    """The change of every domain, by `key`; empty where an arm has no accuracy at all.

    DataError names a domain that only one of them has, and questions that differ.
    """
    first, second = (_accuracies(findings.records, arm, evaluator) for arm in (before, after))
    if not first or not second:
        return {}
    for have, lack, arm in ((first, second, after), (second, first, before)):
        missing = [str(have[domain].axes["domain"]) for domain in have if domain not in lack]
        if missing:
            raise DataError(
                f"experiments.{arm.experiment}: has no accuracy for the domain "
                f"{listed(missing)}. Ask both experiments the same domains."
            )
    out = {}
    for domain, record in first.items():
        other = second[domain]
        for one, arm in ((record, before), (other, after)):
            if one.value is None:
                raise DataError(
                    f"experiments.{arm.experiment}: the accuracy of {one.axes['domain']} is "
                    f"undefined ({one.undefined})."
                )
        if record.options != other.options:
            different = [k for k in record.options if record.options[k] != other.options.get(k)]
            raise DataError(
                f"domain {record.axes['domain']}: {before.experiment} and {after.experiment} "
                f"differ in {listed(different)}. Ask both the same questions in the same way."
            )
        assert record.value is not None
        assert other.value is not None
        rows = [_answers(findings, arm, record) for arm in (before, after)]
        ci, why = _interval(rows[0], rows[1])
        name = str(record.axes["domain"])
        out[domain] = Change(name, record.value, other.value, record.n, ci, why)
    return out


def _accuracies(records: Sequence[Record], arm: Arm, evaluator: str | None) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for record in records:
        axes = record.axes
        mine = axes.get("experiment") == arm.experiment and axes.get("direction") == arm.direction
        if evaluator is not None:
            mine = mine and axes.get("evaluator") == evaluator
        if not (mine and record.id.startswith(_ACCURACY) and "domain" in axes):
            continue
        domain = key(str(axes["domain"]))
        if domain in found:
            raise DataError(
                f"experiments.{arm.experiment}: has more than one accuracy for the domain "
                f"{axes['domain']}. Name the evaluator, or an arm without a sweep."
            )
        found[domain] = record
    return found


def _answers(findings: Findings, arm: Arm, record: Record) -> dict[Any, bool]:
    """Whether each question was answered right, by question; empty without a table of samples."""
    rows = findings.tables.get(f"{record.axes.get('evaluator')}.samples", ())
    wanted: Mapping[str, Any] = {
        "experiment": arm.experiment,
        "direction": arm.direction,
        "task": record.axes.get("task"),
        "domain": record.axes["domain"],
    }
    mine = [row for row in rows if all(row.get(k) == value for k, value in wanted.items())]
    return {row["question"]: row["right"] for row in mine if isinstance(row["right"], bool)}


def _interval(
    before: Mapping[Any, bool], after: Mapping[Any, bool]
) -> tuple[tuple[float, float] | None, str | None]:
    """The 95% interval of a difference of paired shares, in percentage points."""
    if not before or before.keys() != after.keys():
        return None, "the same questions are needed before and after, one by one"
    cells = Counter((before[question], after[question]) for question in before)
    both, neither = cells[True, True], cells[False, False]
    low, high = newcombe(both, cells[False, True], cells[True, False], neither)
    return (100 * low, 100 * high), None


def newcombe(both: int, only_left: int, only_right: int, neither: int) -> tuple[float, float]:
    """The 95% interval of p_left − p_right where the same things are seen twice.

    With Wilson's limits (l, u) of each share, δ = p − l, ε = u − p and φ of the fourfold table:
    d − √(δ₁² − 2φδ₁ε₂ + ε₂²), d + √(ε₁² − 2φε₁δ₂ + δ₂²). In [−1, 1]; ValueError without a case.
    Source: Newcombe, Statistics in Medicine 17, 1998, method 8 (without continuity correction).
    """
    n = both + only_left + only_right + neither
    left, right = both + only_left, both + only_right
    p, q = left / n, right / n
    (l1, u1), (l2, u2) = wilson(left, n), wilson(right, n)
    product = float(left) * (n - left) * right * (n - right)
    phi = (both * neither - only_left * only_right) / math.sqrt(product) if product else 0.0
    down = (p - l1) ** 2 - 2 * phi * (p - l1) * (u2 - q) + (u2 - q) ** 2
    up = (u1 - p) ** 2 - 2 * phi * (u1 - p) * (q - l2) + (q - l2) ** 2
    return p - q - math.sqrt(max(down, 0.0)), p - q + math.sqrt(max(up, 0.0))
