"""Which numbers of a run's families are discoveries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from harness.contract import FamilyOutcome, PValues, Record, Results
from harness.errors import suggestion
from harness.families.held import Held
from harness.families.members import Members, members
from harness.results.adjust import adjusted, discovered, within_reach
from harness.results.records import record_name, shared_items
from harness.task.families import Family

LISTED = 2_000
"""Members of one family that the table lists: those with the smallest p."""
NAMES = ("tested", "discoveries", "small_p", "expected_by_chance")
_EXACT = "what was decided of these numbers; no interval is computed for it"
Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What came out of families: outcomes, a few records of each, and a row for each member."""

    outcomes: tuple[FamilyOutcome, ...] = ()
    records: tuple[Record, ...] = ()
    rows: tuple[Row, ...] = ()


def evaluate(families: Sequence[Family], results: Results, many: Sequence[PValues] = ()) -> Found:
    """Holds families against the numbers of a run; `many` are p values that are no records.

    Every number that a term fits is a member and counts in m; one without a p as p = 1. With q of
    Benjamini and Hochberg, those with q ≤ rate are discoveries. Records, with the axis `family`:
    `family.tested@1`, m; `family.discoveries@1`; `family.small_p@1`, those with a raw p ≤ rate; and
    `family.expected_by_chance@1`, rate · m: how many those would be, at most, were there nothing.
    """
    if not families:
        return Found()
    held = Held(results)
    found = [_family(one, results, many, held) for one in families]
    return Found(
        tuple(outcome for outcome, _ in found),
        tuple(record for outcome, _ in found for record in _records(outcome)),
        tuple(row for _, rows in found for row in rows),
    )


def _family(
    family: Family, results: Results, many: Sequence[PValues], held: Held
) -> tuple[FamilyOutcome, list[Row]]:
    bare = FamilyOutcome(
        family.name, family.text, family.of, family.rate, family.dependence,
        against=family.against, source=family.source,
    )  # fmt: skip
    if results.status == "invalid":
        why = "the run is invalid, so its numbers may mean something else"
        return replace(bare, why=why), []
    its = members(family, results.records, many, held)
    p = np.concatenate([one.p for one in its]) if its else np.zeros(0)
    if not len(p):
        return replace(bare, why=_nothing(family, results, many)), []
    known = np.isfinite(p)
    counted = replace(bare, tested=len(p), without_p=int((~known).sum()))
    if not known.any():
        return replace(counted, why=f"none of its numbers has a p: {_commonest(its)}"), []
    taken = np.where(known, p, 1.0)
    q = adjusted(taken, family.dependence)
    yes = discovered(q, family.rate) & known
    reach = within_reach(taken, family.rate, family.dependence)
    least = np.concatenate([np.full(len(one.p), one.least) for one in its])
    beyond = known & ~yes & (least > reach)
    rows = list(_rows(family, its, q, yes, beyond))
    outcome = replace(
        counted,
        discoveries=int(yes.sum()),
        small=int(discovered(taken, family.rate).sum()),
        expected=family.rate * len(p),
        largest=float(taken[yes].max()) if yes.any() else None,
        out_of_reach=int(beyond.sum()),
        reason=_too_few(least[beyond], reach[beyond]) if beyond.any() else None,
        listed=len(rows),
        methods=tuple(dict.fromkeys(one.method for one in its if one.method)),
    )
    return outcome, rows


def _too_few(least: Float[np.ndarray, " some"], reach: Float[np.ndarray, " some"]) -> str:
    """What their p could have come to, and what would have been needed."""
    at = int(np.argmin(least))
    return (
        f"their tests have too few draws or prompts: they come to p = {least[at]:.2g} at least, "
        f"and at most {reach[at]:.2g} would be a discovery here"
    )


def _nothing(family: Family, results: Results, many: Sequence[PValues]) -> str:
    """Why a family has no member."""
    names = {record_name(one) for one in results.records}
    names |= {one.id.partition("@")[0] for one in many}
    for term in family.terms:
        if term.id.partition("@")[0] not in names:
            return f"no {term.id} was measured.{suggestion(term.id, names)}"
    held = "" if family.against is None else f" and is an arm beside {family.against}"
    return f"nothing that was measured has these axes{held}"


def _commonest(its: Sequence[Members]) -> str:
    reasons = Counter(one.why for one in its if one.why)
    return reasons.most_common(1)[0][0] if reasons else "no reason was given"


def _rows(
    family: Family,
    its: Sequence[Members],
    q: Float[np.ndarray, " m"],
    yes: np.ndarray,
    beyond: np.ndarray,
) -> Iterator[Row]:
    """A row for each member, those with the smallest p first."""
    p = np.concatenate([one.p for one in its])
    starts = np.cumsum([0, *(len(one.p) for one in its)])
    shared = shared_items([one.axes for one in its])
    order = np.argsort(np.where(np.isfinite(p), p, 2.0), kind="stable")[:LISTED]
    ids = {one.id for one in its}
    for at in order:
        which = int(np.searchsorted(starts, at, side="right")) - 1
        one, inside = its[which], int(at - starts[which])
        axes = one.axes_of(inside)
        named = {key: value for key, value in axes.items() if key not in shared}
        has_p = bool(np.isfinite(p[at]))
        words = ", ".join(f"{key}={value}" for key, value in named.items())
        yield {
            "family": family.name,
            "member": " ".join([*([one.id] if len(ids) > 1 else []), words]).strip() or one.id,
            "id": one.id,
            "axes": json.dumps(axes, ensure_ascii=False, default=str),
            "value": one.value_of(inside),
            "control": one.control,
            "p": float(p[at]) if has_p else None,
            "q": float(q[at]) if has_p else None,
            "discovery": bool(yes[at]),
            "out_of_reach": bool(beyond[at]),
            "why": None if has_p else one.why,
        }


def _records(outcome: FamilyOutcome) -> Iterator[Record]:
    numbers = (outcome.tested, outcome.discoveries, outcome.small, outcome.expected)
    options = {"rate": outcome.rate, "dependence": outcome.dependence}
    for name, value in zip(NAMES, numbers, strict=True):
        why = None if value is not None and outcome.tested else outcome.why
        yield Record(
            f"family.{name}@1",
            None if why else value,
            outcome.tested,
            "tests",
            "tests",
            options,
            ci_why=_EXACT,
            undefined=why,
            axes={"family": outcome.name},
        )
