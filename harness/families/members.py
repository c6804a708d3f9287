"""The members of a family: which numbers it has, and the p of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from harness.contract import JSON, Axes, PValues, Record
from harness.families.held import Held
from harness.results.matched import TINY
from harness.results.records import number_or_none, record_name
from harness.results.write import identity_of
from harness.task.families import Family, asks
from harness.task.terms import Term, same

NO_EDIT = "none"


@dataclass(frozen=True)
class Members:
    """Numbers that were asked in one way: those of a record are one, those of a statistic many."""

    id: str
    axes: Axes
    p: Float[np.ndarray, " m"]
    """NaN where there is none."""
    method: str = ""
    """How p was made, in words."""
    item: str = ""
    """The axis that tells them apart, where they are many."""
    items: Int[np.ndarray, " m"] | None = None
    values: Float[np.ndarray, " m"] | None = None
    control: float | None = None
    least: float = 0.0
    """The smallest p that a test could have come to."""
    why: str | None = None
    """Why there is no p."""

    def axes_of(self, at: int) -> dict[str, JSON]:
        """The axes of one of them."""
        return {**self.axes, **({} if self.items is None else {self.item: int(self.items[at])})}

    def value_of(self, at: int) -> float | None:
        """The number of one of them."""
        if self.values is None or not math.isfinite(self.values[at]):
            return None
        return float(self.values[at])


def members(
    family: Family, records: Sequence[Record], many: Sequence[PValues], held: Held
) -> list[Members]:
    """Everything that a term of the family fits, each number once, in the order of the run."""
    found: dict[str, Members] = {}
    for term in family.terms:
        for record in records:
            key = identity_of(record)
            if key not in found and _fits(term, record, family.against):
                found[key] = _of_record(record, family.against, held)
        if family.against is None:
            for key, one in _of_many(term, many):
                found[key] = _both(found[key], one) if key in found else one
    return list(found.values())


def _fits(term: Term, record: Record, against: str | None) -> bool:
    """Whether a record is a member; an arm that is held against a control is neither the control
    nor the un-edited one."""
    if term.id not in (record.id, record_name(record)) or not term.fits(record.axes):
        return False
    return against is None or record.axes.get("direction", NO_EDIT) not in (NO_EDIT, against)


def _of_record(record: Record, against: str | None, held: Held) -> Members:
    value = np.array([math.nan if record.value is None else record.value])
    bare = Members(record.id, record.axes, np.array([math.nan]), values=value)
    if record.value is None:
        return _without(bare, f"it is undefined: {record.undefined}")
    if against is not None:
        tested = held.against(record, against)
        if isinstance(tested, str):
            return _without(bare, tested)
        found, control = tested
        return Members(
            record.id, record.axes, np.array([found.p]), found.method, values=value,
            control=control, least=found.least,
        )  # fmt: skip
    null: Mapping[str, object] = record.null or {}
    p = number_or_none(null.get("p"))
    if p is None or not 0 <= p <= 1:
        return _without(bare, "its record has no p")
    least = number_or_none(null.get("least_p")) or 0.0
    return Members(
        record.id, record.axes, np.array([max(p, TINY)]), str(null.get("kind") or ""),
        values=value, control=number_or_none(null.get("value")), least=least,
    )  # fmt: skip


def _without(bare: Members, why: str) -> Members:
    return Members(bare.id, bare.axes, bare.p, values=bare.values, why=why)


def _of_many(term: Term, many: Iterable[PValues]) -> Iterator[tuple[str, Members]]:
    """Those of a statistic that a term fits; the axis of their items may be named, too."""
    for one in many:
        if not asks(term, one):
            continue
        p = np.asarray(one.array, dtype=np.float64)
        items = np.arange(len(p)) if one.items is None else np.asarray(one.items)
        kept = np.ones(len(items), dtype=bool)
        if one.item in term.axes:
            kept = np.array([same(int(item), term.axes[one.item]) for item in items], dtype=bool)
        if not kept.any():
            continue
        sound = np.where((p >= 0) & (p <= 1), np.maximum(p, TINY), np.nan)
        values = None if one.values is None else np.asarray(one.values, dtype=np.float64)[kept]
        yield str((one.id, sorted(map(str, one.axes.items())))), Members(
            one.id, one.axes, sound[kept], one.null, one.item, items[kept].astype(np.int64),
            values, least=one.least_p or 0.0, why="it has no test",
        )  # fmt: skip


def _both(one: Members, other: Members) -> Members:
    """What two terms have named of the same tests, each once."""
    assert one.items is not None
    assert other.items is not None
    new = ~np.isin(other.items, one.items)
    values = None
    if one.values is not None and other.values is not None:
        values = np.concatenate([one.values, other.values[new]])
    return Members(
        one.id, one.axes, np.concatenate([one.p, other.p[new]]), one.method, one.item,
        np.concatenate([one.items, other.items[new]]), values, least=one.least, why=one.why,
    )  # fmt: skip
