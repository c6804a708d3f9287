"""The rule that tells repurposed, new and diffuse apart: a pure function of five numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import product
from typing import Literal, get_args

from harness.contract import Record

Kind = Literal["repurposed", "new", "diffuse", "undecided"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Limits:
    """Where one kind ends and another begins."""

    low_rank: float
    said: float
    unsaid: float
    missed: float
    noise: float


@dataclass(frozen=True)
class Numbers:
    """What is known of a change at one site."""

    first: float
    """The share of the first principal component of the change."""
    gain: float | None
    """`few_rows.gain`; None where components say no more than random rows."""
    beyond: float
    """`few_rows.beyond_random`."""
    fvu: float
    """`fvu_change.pooled`."""
    rounding: float | None
    """`few_rows.rounding`; None where it was not measured."""


def kind_of(found: Numbers, limits: Limits) -> Kind:
    """Which kind of change these numbers are, taken as exact.

    1. Undecided: `rounding` is at least `noise`: the change may be that of the activations' dtype.
    2. One direction leads (`first` ≥ `low_rank`). Repurposed: decoder rows say it (`gain` ≥
       `said`). New: they say no more than random rows (`gain` ≤ `unsaid`), and the SAE's latents
       do not rebuild it either (FVU > `missed`). Else undecided.
    3. Many directions. Repurposed: few rows say each token's change (`beyond` ≥ `said`), or the
       SAE's latents rebuild it (FVU ≤ `missed`). Else diffuse.
    """
    if found.rounding is not None and found.rounding >= limits.noise:
        return "undecided"
    if found.first >= limits.low_rank:
        if found.gain is None:
            return "undecided"
        if found.gain >= limits.said:
            return "repurposed"
        missing = found.fvu > limits.missed
        return "new" if found.gain <= limits.unsaid and missing else "undecided"
    if found.beyond >= limits.said or found.fvu <= limits.missed:
        return "repurposed"
    return "diffuse"


def possible(records: Mapping[str, Record | None], limits: Limits) -> tuple[Kind, ...]:
    """All kinds that values inside the intervals give, each number by itself, in `KINDS`' order.

    Each number takes its lower end, its value and its upper end. A gain without an interval, which
    is undefined in some draws of documents, may be undefined; no other number lacks one.
    """
    names = tuple(field.name for field in fields(Numbers))
    found = {
        kind_of(Numbers(*values), limits)  # type: ignore[arg-type]  # None where it may be
        for values in product(*(_values(name, records[name]) for name in names))
    }
    return tuple(kind for kind in KINDS if kind in found)


def _values(name: str, record: Record | None) -> Iterator[float | None]:
    if record is None or record.value is None:
        yield None
        return
    yield from dict.fromkeys((record.value, *(record.ci or ())))
    if name == "gain" and record.ci is None:
        yield None
