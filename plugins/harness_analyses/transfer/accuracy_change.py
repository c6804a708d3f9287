"""The change of the accuracy of each domain, with intervals over shared questions."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.contract import Findings, Record
from harness.errors import DataError, listed
from harness.results.intervals import wilson
from harness.results.matched import matched
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
    clusters: int
    """How many of the questions are different."""
    p: float | None = None
    """That as many questions change one way as the other: McNemar's exact test; None where the same
    questions are needed and are not known."""
    least_p: float | None = None
    """The smallest p that so many questions could have come to."""

    @property
    def null(self) -> dict[str, Any]:
        """What it is where nothing has changed."""
        tested = {} if self.p is None else {"p": self.p, "least_p": self.least_p}
        return {"kind": "no change", "value": 0.0, **tested}

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
        same = _same(findings, before, record)
        ci, why = _interval(rows[0], rows[1], same)
        tested = _tested(rows[0], rows[1], same)
        name = str(record.axes["domain"])
        clusters = record.n if record.clusters is None else record.clusters
        out[domain] = Change(
            name, record.value, other.value, record.n, ci, why, clusters, *tested
        )  # fmt: skip
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


def _same(findings: Findings, arm: Arm, record: Record) -> dict[Any, Any]:
    """By question the first of those that ask the same; empty where all are different."""
    rows = _rows(findings, arm, record)
    return {row["question"]: row["same_as"] for row in rows if row.get("same_as") is not None}


def _answers(findings: Findings, arm: Arm, record: Record) -> dict[Any, bool]:
    """Whether each question was answered right, by question; empty without a table of samples."""
    rows = _rows(findings, arm, record)
    return {row["question"]: row["right"] for row in rows if isinstance(row["right"], bool)}


def _rows(findings: Findings, arm: Arm, record: Record) -> list[Mapping[str, Any]]:
    """The rows of the questions behind an accuracy."""
    rows = findings.tables.get(f"{record.axes.get('evaluator')}.samples", ())
    wanted: Mapping[str, Any] = {
        "experiment": arm.experiment,
        "direction": arm.direction,
        "task": record.axes.get("task"),
        "domain": record.axes["domain"],
    }
    return [row for row in rows if all(row.get(k) == value for k, value in wanted.items())]


def _interval(
    before: Mapping[Any, bool], after: Mapping[Any, bool], same: Mapping[Any, Any]
) -> tuple[tuple[float, float] | None, str | None]:
    """The 95% interval of a difference of paired shares, in percentage points.

    `same` names, where questions are equal, the first of each: they are one cluster. Then the four
    counts are those of as many independent questions as would vary as much (the design effect of
    the difference).
    """
    if not before or before.keys() != after.keys():
        return None, "the same questions are needed before and after, one by one"
    cells = Counter((before[question], after[question]) for question in before)
    share: float = 1
    if len(clusters := {same.get(question, question) for question in before}) < len(before):
        if len(clusters) == 1:
            return None, "all questions are equal, which says nothing of other questions"
        share = _independent(before, after, same) / len(before)
    both, neither = share * cells[True, True], share * cells[False, False]
    low, high = newcombe(both, share * cells[False, True], share * cells[True, False], neither)
    return (100 * low, 100 * high), None


def _tested(
    before: Mapping[Any, bool], after: Mapping[Any, bool], same: Mapping[Any, Any]
) -> tuple[float | None, float | None]:
    """p and the smallest p that there could be; equal questions are one."""
    if before.keys() != after.keys():
        return None, None
    sides: list[dict[str, list[float]]] = [{}, {}]
    for side, answers in zip(sides, (before, after), strict=True):
        for question, right in answers.items():
            side.setdefault(repr(same.get(question, question)), []).append(float(right))
    found = matched(sides[1], [sides[0]])
    return (None, None) if isinstance(found, str) else (found.p, found.least)


def _independent(
    before: Mapping[Any, bool], after: Mapping[Any, bool], same: Mapping[Any, Any]
) -> float:
    """The number of independent questions over which a mean change would vary as much."""
    change = {question: float(after[question]) - before[question] for question in before}
    mean = sum(change.values()) / len(change)
    spread: defaultdict[Any, float] = defaultdict(float)
    for question, value in change.items():
        spread[same.get(question, question)] += value - mean
    variance = sum((value - mean) ** 2 for value in change.values())
    if not variance:
        return float(len(spread))
    many = len(spread) / (len(spread) - 1)
    design = many * sum(value**2 for value in spread.values()) / variance
    return len(change) / max(1.0, design)


def newcombe(
    both: float, only_left: float, only_right: float, neither: float
) -> tuple[float, float]:
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
