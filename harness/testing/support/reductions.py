"""Laws that direction finders and statistics share: both are reductions."""

from __future__ import annotations

import copy
import math
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.contract import (
    Batch,
    Direction,
    Found,
    Inputs,
    Outcome,
    Record,
    Reduction,
    State,
)
from harness.store.states import PassStates, Saved
from harness.testing.support.rearranged import Watched, rearranged

RECORD_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*@[1-9]\d*")


def check_reduction(
    reduction: Reduction, batches: Sequence[Batch], inputs: Inputs, tolerance: float
) -> Outcome:
    """The laws of `Reduction`; returns what it finds in all batches.

    Raises AssertionError, naming the law. Laws: the state is plain arrays · inputs are not
    modified · finish is deterministic · any split into batches gives the same · the order of
    documents does not matter · the order of batches does not matter · merge is commutative · merge
    is associative · merging a fresh state changes nothing · a state that was saved goes on the
    same.
    """
    whole = state_of(reduction, batches, inputs)
    expected = finished(reduction, whole, inputs)

    def keeps(name: str, state: State) -> None:
        same(name, finished(reduction, state, inputs), expected, tolerance)

    keeps("finish is deterministic", whole)
    for name, ordered in rearranged(batches):
        keeps(name, state_of(reduction, ordered, inputs))
    parts = [state_of(reduction, [batch], inputs) for batch in batches]
    if not parts:
        return expected
    keeps("any split into states gives the same", folded(reduction, parts))
    keeps("merge is commutative", folded(reduction, parts[::-1]))
    half = len(parts) // 2
    nested = [folded(reduction, part) for part in (parts[:half], parts[half:]) if part]
    keeps("merge is associative", folded(reduction, nested))
    fresh = reduction.start(inputs)
    keeps("merging a fresh state changes nothing", merged(reduction, fresh, whole))
    keeps("merging a fresh state changes nothing", merged(reduction, whole, fresh))
    begun = saved_and_read(state_of(reduction, batches[:half], inputs))
    resumed = state_of(reduction, batches[half:], inputs, begun)
    keeps("a state that was saved goes on the same", resumed)
    return expected


# ── Running ──────────────────────────────────────────────────────────────────────────────────────


def state_of(
    reduction: Reduction, batches: Sequence[Batch], inputs: Inputs, begun: State | None = None
) -> State:
    """The state after some batches; it goes on from `begun` where there is one."""
    state = reduction.start(inputs) if begun is None else begun
    for batch in batches:
        _plain(state)
        before = _copied(state)
        left = Watched(batch.left)
        right = None if batch.right is None else Watched(batch.right)
        tensors = batch.document.clone(), batch.selected.clone()
        after = reduction.update(state, replace(batch, left=left, right=right))
        unchanged = left.unchanged() and (right is None or right.unchanged())
        unchanged = unchanged and torch.equal(tensors[0], batch.document)
        unchanged = unchanged and torch.equal(tensors[1], batch.selected)
        law(unchanged, "inputs are not modified", "update changed a tensor of its batch")
        _unmodified(before, state, "update changed the state that it was given")
        state = after
    _plain(state)
    return state


def merged(reduction: Reduction, left: State, right: State) -> State:
    """One state from two."""
    before = _copied(left), _copied(right)
    both = reduction.merge(left, right)
    _unmodified(before[0], left, "merge changed its left state")
    _unmodified(before[1], right, "merge changed its right state")
    _plain(both)
    return both


def folded(reduction: Reduction, states: Sequence[State]) -> State:
    """One state from several, merged from the left."""
    total = states[0]
    for state in states[1:]:
        total = merged(reduction, total, state)
    return total


def finished(reduction: Reduction, state: State, inputs: Inputs) -> Outcome:
    """What comes out of a state."""
    before = _copied(state)
    directions = copy.deepcopy(dict(inputs.directions))
    outcome = reduction.finish(state, inputs)
    _unmodified(before, state, "finish changed the state")
    for name, direction in directions.items():
        agree(
            "inputs are not modified", f"direction {name!r}", inputs.directions[name], direction, 0
        )
    return outcome


def saved_and_read(state: State) -> State:
    """The state as a rerun finds it on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        file = PassStates(Path(folder) / "state", "check")
        file.save(Saved(0, "", [{"": state}]))
        back = file.load()
    assert back is not None, "a state that was saved goes on the same: it cannot be read"
    return back.states[0].get("", {})


def _plain(state: State) -> None:
    for name, array in state.items():
        plain = isinstance(array, np.ndarray) and array.dtype in (np.float64, np.int64)
        what = getattr(array, "dtype", type(array).__name__)
        law(plain, "the state is plain arrays", f"{name!r} is {what}, not float64 or int64")


def _copied(state: State) -> State:
    return {name: array.copy() for name, array in state.items()}


def _unmodified(before: State, after: State, what: str) -> None:
    same = before.keys() == after.keys() and all(
        np.array_equal(array, after[name], equal_nan=True) for name, array in before.items()
    )
    law(same, "inputs are not modified", what)


# ── What comes out ───────────────────────────────────────────────────────────────────────────────


def check_record(record: Record) -> None:
    """A record says what it is, of how much, and why it has no value or no interval."""
    name = "records are complete and unique"
    law(RECORD_ID.fullmatch(record.id) is not None, name, f"{record.id!r} is no name@version")
    law(
        (record.value is None) == bool(record.undefined),
        name,
        f"{record.id}: value {record.value!r} with undefined {record.undefined!r}",
    )
    finite = record.value is None or math.isfinite(record.value)
    law(finite, name, f"{record.id}: the value is {record.value}")
    law(record.n >= 0 and bool(record.n_of), name, f"{record.id}: n is {record.n} {record.n_of!r}")
    law(bool(record.unit), name, f"{record.id}: it has no unit")
    interval = record.ci is not None or bool(record.ci_why) or record.value is None
    law(interval, name, f"{record.id}: no interval, and ci_why does not say why")


def check_unique(records: Iterable[Record]) -> None:
    """There is one record for each id, options and axes."""
    keys = Counter((record.id, key_of(record.options), key_of(record.axes)) for record in records)
    twice = [key for key, count in keys.items() if count > 1]
    law(not twice, "records are complete and unique", f"more than one record is {twice}")


def key_of(axes: Mapping[str, Any]) -> str:
    """Axes or options as one text."""
    return ", ".join(f"{name}={axes[name]!r}" for name in sorted(axes))


def same(name: str, left: Outcome, right: Outcome, tolerance: float) -> None:
    """Both outcomes are the same, floats within the tolerance."""
    agree(name, "records", left.records, right.records, tolerance)
    agree(name, "directions", left.directions, right.directions, tolerance)
    agree(name, "arrays", left.arrays, right.arrays, tolerance)
    tables = [{name: list(rows) for name, rows in one.tables.items()} for one in (left, right)]
    agree(name, "tables", tables[0], tables[1], tolerance)


def agree(name: str, where: str, left: Any, right: Any, tolerance: float) -> None:
    """Recursively equal, floats within the tolerance."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        law(_close(left, right, tolerance), name, f"{where}: {left!r} against {right!r}")
    elif isinstance(left, (Record, Found, Direction)) and type(left) is type(right):
        for key in left.__dataclass_fields__:
            agree(name, f"{where}.{key}", getattr(left, key), getattr(right, key), tolerance)
    elif isinstance(left, Mapping) and isinstance(right, Mapping):
        law(left.keys() == right.keys(), name, f"{where}: {list(left)} against {list(right)}")
        for key in left:
            agree(name, f"{where}[{key!r}]", left[key], right[key], tolerance)
    elif isinstance(left, (tuple, list)) and isinstance(right, (tuple, list)):
        law(len(left) == len(right), name, f"{where}: {len(left)} against {len(right)} entries")
        for index, pair in enumerate(zip(left, right, strict=True)):
            agree(name, f"{where}[{index}]", *pair, tolerance)
    elif isinstance(left, float) and isinstance(right, float):
        # Numbers below 1 are compared absolutely: a weight that is 0 comes out as rounding.
        # NaN is a wrong number, but the same one: whether it may be there is another law.
        fine = math.isclose(left, right, rel_tol=tolerance, abs_tol=tolerance)
        fine = fine or (math.isnan(left) and math.isnan(right))
        law(fine, name, f"{where}: {left!r} against {right!r}")
    else:
        law(left == right, name, f"{where}: {left!r} against {right!r}")


def _close(left: np.ndarray, right: np.ndarray, tolerance: float) -> bool:
    if right.dtype.kind not in "fiub" or left.shape != right.shape:
        return np.array_equal(left, right)
    scale = float(np.nan_to_num(np.abs(right)).max(initial=0.0)) if right.dtype != bool else 0.0
    return bool(np.allclose(left, right, rtol=0, atol=tolerance * scale, equal_nan=True))


def law(kept: bool, name: str, what: str) -> None:
    """Raises AssertionError with the law's name where it is not kept."""
    if not kept:
        raise AssertionError(f"law broken: {name}: {what}")
