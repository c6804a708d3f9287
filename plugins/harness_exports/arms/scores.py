"""The scores of an arm: what a judge said of each completion, and the record that is their mean."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.contract import Record
from harness.results import grouped
from harness_exports.arms.arms import Arm, Row

_NOTE = "note"
"""The key of a verdict that is a remark, and no score."""


@dataclass(frozen=True)
class ArmScore:
    """One score that a judge gave to the completions of an arm."""

    evaluator: str
    """Who judged, by its name in the task."""
    name: str
    """What the judge calls the score: `refusal`."""
    values: tuple[float | None, ...]
    """One for each completion, yes as 1 and no as 0; None where there is none."""
    clusters: tuple[str, ...]
    """The prompt of each completion: equal prompts are one cluster."""
    record: Record | None
    """The record that is their mean; None where the results hold none."""

    @property
    def key(self) -> str:
        """The score with its judge, as one name: `substrings.refusal`."""
        return f"{self.evaluator}.{self.name}"

    @property
    def n(self) -> int:
        """How many completions have it."""
        return sum(value is not None for value in self.values)

    @property
    def mean(self) -> float | None:
        """The mean of what there is."""
        known = [value for value in self.values if value is not None]
        return math.fsum(known) / len(known) if known else None

    @property
    def standard_error(self) -> float | None:
        """The standard error of the mean, with prompts as clusters; None of fewer than two.

        √(G/(G−1) · Σ_g (Σ_{i in g} (x_i − x̄))²) / n over G different prompts. Where all prompts are
        different, that is the standard deviation (n − 1) over √n, as Inspect's own `stderr`.
        """
        known = [
            (value, cluster)
            for value, cluster in zip(self.values, self.clusters, strict=True)
            if value is not None
        ]
        mean, sums = self.mean, grouped(known, lambda one: one[1])
        if mean is None or len(sums) < 2:
            return None
        squares = [math.fsum(value - mean for value, _ in mine) ** 2 for mine in sums.values()]
        return math.sqrt(len(sums) / (len(sums) - 1) * math.fsum(squares)) / len(known)


def note_of(row: Row, evaluator: str) -> str | None:
    """What a judge remarked about a completion."""
    note = row["verdicts"].get(evaluator, {}).get(_NOTE)
    return None if note is None else str(note)


def scores_of(arms: Sequence[Arm]) -> list[list[ArmScore]]:
    """The scores of each arm of one experiment.

    Verdicts name a score as the judge does, records by an id. A name is an id's where in all arms
    its verdicts have the record's count and mean; where several fit, in their order.
    """
    found = [list(_values(arm)) for arm in arms]
    names = dict.fromkeys((one.evaluator, one.name) for mine in found for one in mine)
    given: dict[tuple[str, str], str] = {}
    fits = {key: list(_ids(key, arms, found)) for key in names}
    for key in sorted(fits, key=lambda key: len(fits[key])):
        taken = {id for (evaluator, _), id in given.items() if evaluator == key[0]}
        if free := [id for id in fits[key] if id not in taken]:
            given[key] = free[0]
    return [
        [_with_record(one, arm, given.get((one.evaluator, one.name))) for one in mine]
        for arm, mine in zip(arms, found, strict=True)
    ]


def _values(arm: Arm) -> Iterator[ArmScore]:
    names = dict.fromkeys(
        (str(evaluator), str(name))
        for row in arm.rows
        for evaluator, verdict in row["verdicts"].items()
        for name in verdict
        if name != _NOTE
    )
    clusters = tuple(str(row.get("copy_of", row["example"])) for row in arm.rows)
    for evaluator, name in names:
        values = tuple(_value(row["verdicts"].get(evaluator, {}), name) for row in arm.rows)
        yield ArmScore(evaluator, name, values, clusters, None)


def _value(verdict: Mapping[str, object], name: str) -> float | None:
    value = verdict.get(name)
    if not isinstance(value, (bool, int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _ids(
    key: tuple[str, str], arms: Sequence[Arm], found: Sequence[Sequence[ArmScore]]
) -> Iterator[str]:
    """The ids of records whose numbers are those of a score, in every arm that has both."""
    pairs = [
        (arm, one)
        for arm, mine in zip(arms, found, strict=True)
        for one in mine
        if (one.evaluator, one.name) == key
    ]
    ids = dict.fromkeys(
        r.id for arm, _ in pairs for r in arm.records if r.axes.get("evaluator") == key[0]
    )
    for id in ids:
        both = [(one, r) for arm, one in pairs if (r := _record(arm, key[0], id)) is not None]
        if both and all(_is_mean(one, record) for one, record in both):
            yield id


def _record(arm: Arm, evaluator: str, id: str) -> Record | None:
    mine = [r for r in arm.records if r.id == id and r.axes.get("evaluator") == evaluator]
    return mine[0] if len(mine) == 1 else None


def _is_mean(score: ArmScore, record: Record) -> bool:
    if score.n != record.n or score.mean is None or record.value is None:
        return score.n == record.n and (score.mean is None) == (record.value is None)
    return math.isclose(score.mean, record.value, rel_tol=1e-9, abs_tol=1e-9)


def _with_record(score: ArmScore, arm: Arm, id: str | None) -> ArmScore:
    record = None if id is None else _record(arm, score.evaluator, id)
    return ArmScore(score.evaluator, score.name, score.values, score.clusters, record)
