"""Laws that every direction finder keeps."""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.contract import (
    Axes,
    Batch,
    Direction,
    Found,
    Inputs,
    Outcome,
    Record,
    Reduction,
    Side,
    Site,
    State,
    Undefined,
)
from harness.latents import Latents

RECORD_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*@[1-9]\d*")


def check_direction(
    reduction: Reduction,
    batches: Sequence[Batch],
    inputs: Inputs,
    *,
    variants: Sequence[Axes] = ({},),
    tolerance: float = 1e-9,
) -> None:
    """Raises AssertionError, naming the law, where a direction finder breaks one.

    `batches` are those of all its streams (none for a finder that reads no activations), and
    `variants` what its options promise. Numbers of two ways that must agree may differ by
    `tolerance`, relative to the largest of their array.

    Laws: the state is plain arrays · inputs are not modified · any split into batches gives the
    same · the order of documents does not matter · the order of batches does not matter · merge is
    commutative · merge is associative · merging a fresh state changes nothing · finish is
    deterministic · every variant comes out once · directions are finite float64 `[rank, d]` and
    not zero · records are complete and unique · nothing read is undefined, not an error.
    """
    whole = _state(reduction, batches, inputs)
    expected = _finish(reduction, whole, inputs)
    _well_formed(expected, variants)

    def same(law: str, state: State) -> None:
        _same(law, _finish(reduction, state, inputs), expected, tolerance)

    same("finish is deterministic", whole)
    for law, ordered in _rearranged(batches):
        same(law, _state(reduction, ordered, inputs))
    parts = [_state(reduction, [batch], inputs) for batch in batches]
    if parts:
        same("any split into states gives the same", _fold(reduction, parts))
        same("merge is commutative", _fold(reduction, parts[::-1]))
        half = len(parts) // 2
        nested = [_fold(reduction, part) for part in (parts[:half], parts[half:]) if part]
        same("merge is associative", _fold(reduction, nested))
        fresh = reduction.start(inputs)
        same("merging a fresh state changes nothing", _merge(reduction, fresh, whole))
        same("merging a fresh state changes nothing", _merge(reduction, whole, fresh))
        nothing = _finish(reduction, reduction.start(inputs), inputs)
        _well_formed(nothing, variants)
        for found in nothing.directions:
            _law(
                isinstance(found.direction, Undefined),
                "nothing read is undefined, not an error",
                f"without a batch it yields {found.direction}",
            )


# ── Running ──────────────────────────────────────────────────────────────────────────────────────


def _state(reduction: Reduction, batches: Sequence[Batch], inputs: Inputs) -> State:
    state = reduction.start(inputs)
    for batch in batches:
        _plain(state)
        before = _copied(state)
        left = _Watched(batch.left)
        right = None if batch.right is None else _Watched(batch.right)
        tensors = batch.document.clone(), batch.selected.clone()
        after = reduction.update(state, replace(batch, left=left, right=right))
        unchanged = left.unchanged() and (right is None or right.unchanged())
        unchanged = unchanged and torch.equal(tensors[0], batch.document)
        unchanged = unchanged and torch.equal(tensors[1], batch.selected)
        _law(unchanged, "inputs are not modified", "update changed a tensor of its batch")
        _unmodified(before, state, "update changed the state that it was given")
        state = after
    _plain(state)
    return state


def _merge(reduction: Reduction, left: State, right: State) -> State:
    before = _copied(left), _copied(right)
    merged = reduction.merge(left, right)
    _unmodified(before[0], left, "merge changed its left state")
    _unmodified(before[1], right, "merge changed its right state")
    _plain(merged)
    return merged


def _fold(reduction: Reduction, states: Sequence[State]) -> State:
    total = states[0]
    for state in states[1:]:
        total = _merge(reduction, total, state)
    return total


def _finish(reduction: Reduction, state: State, inputs: Inputs) -> Outcome:
    before = _copied(state)
    directions = copy.deepcopy(dict(inputs.directions))
    outcome = reduction.finish(state, inputs)
    _unmodified(before, state, "finish changed the state")
    for name, direction in directions.items():
        _agree(
            "inputs are not modified", f"direction {name!r}", inputs.directions[name], direction, 0
        )
    return outcome


def _plain(state: State) -> None:
    for name, array in state.items():
        plain = isinstance(array, np.ndarray) and array.dtype in (np.float64, np.int64)
        what = getattr(array, "dtype", type(array).__name__)
        _law(plain, "the state is plain arrays", f"{name!r} is {what}, not float64 or int64")


def _copied(state: State) -> State:
    return {name: array.copy() for name, array in state.items()}


def _unmodified(before: State, after: State, what: str) -> None:
    same = before.keys() == after.keys() and all(
        np.array_equal(array, after[name], equal_nan=True) for name, array in before.items()
    )
    _law(same, "inputs are not modified", what)


# ── Other ways through the same documents ────────────────────────────────────────────────────────


def _rearranged(batches: Sequence[Batch]) -> Iterator[tuple[str, list[Batch]]]:
    single = [
        _part(batch, [document]) for batch in batches for document in range(len(batch.documents))
    ]
    yield "any split into batches gives the same", single
    yield "the order of batches does not matter", list(batches)[::-1]
    backwards = [_part(batch, range(len(batch.documents))[::-1]) for batch in batches]
    yield "the order of documents does not matter", backwards


def _part(batch: Batch, documents: Sequence[int]) -> Batch:
    """Some documents of a batch, in another order."""
    device = batch.document.device
    chosen = torch.tensor(list(documents), dtype=torch.int64, device=device)
    place = torch.full((len(batch.documents),), -1, device=device)
    place[chosen] = torch.arange(len(chosen), device=device)
    order = torch.argsort(place[batch.document], stable=True)
    rows = order[place[batch.document[order]] >= 0]
    at = torch.full((len(batch.document),), -1, device=device)
    at[rows] = torch.arange(len(rows), device=device)
    # Position of each selected token among the selected ones, where latents have their rows.
    picked = torch.argsort(at[batch.selected], stable=True)
    picked = picked[at[batch.selected[picked]] >= 0]
    return replace(
        batch,
        documents=tuple(batch.documents[index] for index in documents),
        document=place[batch.document[rows]],
        selected=at[batch.selected[picked]],
        ids=batch.ids[rows],
        position=batch.position[rows],
        left=_Rows(batch.left, rows, picked),
        right=None if batch.right is None else _Rows(batch.right, rows, picked),
    )


class _Rows:
    """Some tokens of another side."""

    def __init__(self, side: Side, tokens: Tensor, selected: Tensor) -> None:
        self.side, self.tokens, self.selected = side, tokens, selected

    def x(self, site: Site) -> Tensor:
        return self.side.x(site)[self.tokens]

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        return self.side.latents(sae, site).take(self.selected)

    def logits(self) -> Tensor:
        return self.side.logits()[self.tokens]

    def encode(self, sae: str, x: Tensor) -> Latents:
        return self.side.encode(sae, x)

    def reconstruction(self, sae: str, site: Site | None = None) -> Tensor:
        return self.side.reconstruction(sae, site)[self.selected]


class _Watched:
    """A side that remembers what it handed out, to see whether anyone wrote into it."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.given: list[tuple[Tensor, Tensor]] = []

    def x(self, site: Site) -> Tensor:
        return self._remember(self.side.x(site))

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        latents = self.side.latents(sae, site)
        for tensor in (latents.offsets, latents.indices, latents.values):
            self._remember(tensor)
        return latents

    def reconstruction(self, sae: str, site: Site | None = None) -> Tensor:
        return self._remember(self.side.reconstruction(sae, site))

    def logits(self) -> Tensor:
        return self.side.logits()

    def encode(self, sae: str, x: Tensor) -> Latents:
        return self.side.encode(sae, x)

    def unchanged(self) -> bool:
        return all(torch.equal(tensor, before) for tensor, before in self.given)

    def _remember(self, tensor: Tensor) -> Tensor:
        self.given.append((tensor, tensor.clone()))
        return tensor


# ── What comes out ───────────────────────────────────────────────────────────────────────────────


def _well_formed(outcome: Outcome, variants: Sequence[Axes]) -> None:
    promised = Counter(_key(axes) for axes in variants)
    yielded = Counter(_key(found.axes) for found in outcome.directions)
    _law(
        promised == yielded,
        "every variant comes out once",
        f"promised {sorted(promised)}, yielded {sorted(yielded.elements())}",
    )
    records = list(outcome.records)
    for found in outcome.directions:
        _vectors(found)
        records += [record.on(**found.axes) for record in found.records]
    for record in records:
        _record(record)
    keys = Counter((record.id, _key(record.options), _key(record.axes)) for record in records)
    twice = [key for key, count in keys.items() if count > 1]
    _law(not twice, "records are complete and unique", f"more than one record is {twice}")


def _vectors(found: Found) -> None:
    if isinstance(found.direction, Undefined):
        said = bool(found.direction.reason.strip())
        _law(said, "what is undefined says why", "an Undefined has an empty reason")
        return
    vectors = found.direction.vectors
    fine = (
        isinstance(vectors, np.ndarray)
        and vectors.dtype == np.float64
        and vectors.ndim == 2
        and len(vectors) > 0
        and bool(np.isfinite(vectors).all())
        and bool(np.linalg.norm(vectors, axis=1).all())
    )
    law = "directions are finite float64 [rank, d] and not zero"
    _law(fine, law, f"{found.axes}: {vectors!r}")
    direction = found.direction
    sizes = len(direction.features), len(direction.weights)
    _law(
        sizes[0] == sizes[1],
        "every feature has a weight",
        f"{found.axes}: {sizes[0]} features, {sizes[1]} weights",
    )
    site = direction.site
    _law(site.fraction is None, "a direction says its block", f"it lives at {site}")


def _record(record: Record) -> None:
    law = "records are complete and unique"
    _law(RECORD_ID.fullmatch(record.id) is not None, law, f"{record.id!r} is no name@version")
    _law(
        (record.value is None) == bool(record.undefined),
        law,
        f"{record.id}: value {record.value!r} with undefined {record.undefined!r}",
    )
    finite = record.value is None or math.isfinite(record.value)
    _law(finite, law, f"{record.id}: the value is {record.value}")
    _law(record.n >= 0 and bool(record.n_of), law, f"{record.id}: n is {record.n} {record.n_of!r}")
    _law(bool(record.unit), law, f"{record.id}: it has no unit")
    interval = record.ci is not None or bool(record.ci_why) or record.value is None
    _law(interval, law, f"{record.id}: no interval, and ci_why does not say why")


def _key(axes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={axes[name]!r}" for name in sorted(axes))


def _same(law: str, left: Outcome, right: Outcome, tolerance: float) -> None:
    _agree(law, "records", left.records, right.records, tolerance)
    _agree(law, "directions", left.directions, right.directions, tolerance)
    tables = [{name: list(rows) for name, rows in one.tables.items()} for one in (left, right)]
    _agree(law, "tables", tables[0], tables[1], tolerance)


def _agree(law: str, where: str, left: Any, right: Any, tolerance: float) -> None:
    """Recursively equal, floats within the tolerance."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        scale = float(np.abs(right).max(initial=0.0))
        fine = left.shape == right.shape and bool(
            np.allclose(left, right, rtol=0, atol=tolerance * scale)
        )
        _law(fine, law, f"{where}: {left!r} against {right!r}")
    elif isinstance(left, (Record, Found, Direction)) and type(left) is type(right):
        for name in left.__dataclass_fields__:
            _agree(law, f"{where}.{name}", getattr(left, name), getattr(right, name), tolerance)
    elif isinstance(left, Mapping) and isinstance(right, Mapping):
        _law(left.keys() == right.keys(), law, f"{where}: {list(left)} against {list(right)}")
        for name in left:
            _agree(law, f"{where}[{name!r}]", left[name], right[name], tolerance)
    elif isinstance(left, (tuple, list)) and isinstance(right, (tuple, list)):
        _law(len(left) == len(right), law, f"{where}: {len(left)} against {len(right)} entries")
        for index, pair in enumerate(zip(left, right, strict=True)):
            _agree(law, f"{where}[{index}]", *pair, tolerance)
    elif isinstance(left, float) and isinstance(right, float):
        # Numbers below 1 are compared absolutely: a weight that is 0 comes out as rounding.
        fine = math.isclose(left, right, rel_tol=tolerance, abs_tol=tolerance)
        _law(fine, law, f"{where}: {left!r} against {right!r}")
    else:
        _law(left == right, law, f"{where}: {left!r} against {right!r}")


def _law(kept: bool, law: str, what: str) -> None:
    if not kept:
        raise AssertionError(f"law broken: {law}: {what}")
