"""How far directions point the same way, each with each."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np

from harness.contract import Batch, Direction, Inputs, Outcome, Record, State, Undefined
from harness_statistics.cosine_null import as_large
from harness_statistics.options import DirectionCosinesOptions
from harness_statistics.records import number
from harness_statistics.sums import Summed

_WHY = "a property of these two vectors; no interval is computed for it"


class DirectionCosines(Summed):
    """Computes cos(v, w) of each two of some directions of one vector each, at one site.

    Record `direction_cosines.cosine@1`, in [−1, 1], with the axes `one` and `other`. Its null is
    what |cos| is on average for random vectors of d numbers, about √(2/(πd)); `p`: that it is so
    large for one of them. Of a direction with
    readers the vector counts, not the reader. Table `cosines`: the same, a row for each direction.
    Undefined: where one of both is, has several vectors, or lives at another site.
    Source: linear algebra.
    """

    def __init__(self, given: DirectionCosinesOptions) -> None:
        self.options = given

    def update(self, state: State, batch: Batch) -> State:
        """Does nothing: the statistic reads no activations."""
        return state

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The records, and the table of all of them."""
        names = self.options.directions
        found = {name: inputs.directions[name] for name in names}
        records = [_record(*both, found) for both in combinations(names, 2)]
        cosines = {(r.axes["one"], r.axes["other"]): r.value for r in records}
        rows: list[dict[str, Any]] = [
            {
                "direction": one,
                **{
                    other: 1.0
                    if one == other and _why(one, found[one]) is None
                    else cosines.get((one, other), cosines.get((other, one)))
                    for other in names
                },
            }
            for one in names
        ]
        return Outcome(tuple(records), tables={"cosines": rows})


def _record(one: str, other: str, found: dict[str, Direction | Undefined]) -> Record:
    why = _why(one, found[one]) or _why(other, found[other])
    value = null = None
    v, w = found[one], found[other]
    if why is None and isinstance(v, Direction) and isinstance(w, Direction):
        if v.site != w.site or v.vectors.shape != w.vectors.shape:
            why = f"{one} lives at {v.site}, {other} at {w.site}, with {v.vectors.shape[1]} and "
            why += f"{w.vectors.shape[1]} numbers"
        else:
            a, b = v.vectors[0], w.vectors[0]
            value = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
            value = max(-1.0, min(1.0, value))
            kind = "|cos| of random vectors, on average"
            p = float(as_large(np.array([value]), len(a))[0])
            null = {"kind": kind, "value": _by_chance(len(a)), "p": p}
    axes = {"one": one, "other": other}
    return number(
        "direction_cosines.cosine@1", value, why, ci_why=_WHY, n=2, n_of="directions",
        unit="cosine", null=null, axes=axes,
    )  # fmt: skip


def _why(name: str, one: Direction | Undefined) -> str | None:
    if isinstance(one, Undefined):
        return f"{name} is undefined: {one.reason}"
    if len(one.vectors) != 1:
        return f"{name} has {len(one.vectors)} vectors, and which one counts is not said"
    return None


def _by_chance(width: int) -> float:
    """E |cos| of a random vector of `width` numbers with any other: Γ(d/2) / (√π Γ((d+1)/2))."""
    if width == 1:
        return 1.0
    return math.exp(math.lgamma(width / 2) - math.lgamma((width + 1) / 2)) / math.sqrt(math.pi)
