"""Laws that every metric keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from harness.contract import Batch, Metric
from harness.results.intervals import ONCE
from harness.testing.support.batches import elsewhere, only, reselected, take
from harness.testing.support.laws import drawing, holds, untried
from harness.testing.support.watched import watched

Reference = Callable[[Batch], Sequence[float]]
"""The metric's values for a batch, in the order of `values`; NaN where undefined."""
SideName = Literal["left", "right", "pair"]
_AGAIN = 3
"""How often something is done again that must come out the same."""
_SUMS = 1e-6
"""How far numbers from the same sums, added in another order, may be apart."""


def check_metric(
    metric: Metric,
    *batches: Batch,
    reference: Reference,
    side: SideName = "left",
    rtol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Raises AssertionError, which begins with the law, where a metric breaks one.

    Each batch (see `harness.testing.array_batch`) has at least two documents. `reference` is the
    metric written down once more, in numpy and float64, for a whole batch: a wrong formula cannot
    be seen without one. A paired metric is checked with side="pair" on batches with two sides.
    Numbers that must agree may differ by `rtol`, relative to the expected one.

    Laws: sums (one entry for each document, finite, with `n`) · deterministic (the same batch
    gives the same sums, to the bit) · reference (the number is that of the reference) · split
    (sums of parts add up) · order (of tokens and of documents does not matter) · padding (a
    document without measured tokens changes nothing) · inputs (batch and sums are not modified) ·
    null (identical sides give the value that `MetricValue.null` states) · draws (do not influence
    each other) · unselected (what is at measured tokens that no filter selects does not matter,
    where a value does not say `unselected`) · empty (no tokens give NaN).
    """
    holds(bool(batches), "sums: no batch to check the metric on")
    if not any((value.null or {}).get("kind") == "identical" for value in metric.values):
        untried("it states no null for identical sides", "null")
    seed = drawing(seed)
    generator = np.random.default_rng(seed)
    for batch in batches:
        holds(len(batch.documents) > 1, "split: a batch of one document cannot be split")
        given, changed = watched(batch)
        whole = _sums(metric, given, side)
        names = changed()
        holds(not names, f"inputs: sums modified {', '.join(names)}")
        _check_deterministic(metric, batch, side, whole)
        found = _value(metric, whole)
        _compare(metric, "reference", found, np.array(reference(batch), dtype=float), rtol)
        for law, parts in _rearranged(batch, generator):
            sums = [_sums(metric, part, side) for part in parts]
            added = {name: np.sum([part[name] for part in sums], axis=0) for name in sums[0]}
            _compare(metric, law, _value(metric, added), found, min(rtol, _SUMS))
        _check_unselected(metric, batch, side, generator)
        _check_null(metric, batch, side)
        _check_draws(metric, batch, side, whole)
        _check_empty(metric, batch, side)


def _rearranged(batch: Batch, generator: np.random.Generator) -> Iterator[tuple[str, list[Batch]]]:
    """The same tokens in other batches, whose sums add up to the same, each with its law."""
    documents = generator.permutation(len(batch.documents)).tolist()
    for cut in sorted({1, len(documents) // 2, len(documents) - 1} - {0}):
        yield "split", [only(batch, documents[:cut]), only(batch, documents[cut:])]
    yield "split", [only(batch, [document]) for document in documents]
    tokens = torch.from_numpy(generator.permutation(len(batch.document)))
    turned = generator.permutation(len(batch.documents)).tolist()
    yield "order", [take(batch, tokens, turned)]
    yield "padding", [replace(batch, documents=(*batch.documents, "nothing measured"))]


def _check_deterministic(
    metric: Metric, batch: Batch, side: SideName, whole: Mapping[str, np.ndarray]
) -> None:
    """The same batch gives the same sums, and the same sums the same numbers."""
    for _ in range(_AGAIN):
        again = _sums(metric, batch, side)
        for name, value in whole.items():
            apart = np.abs(again[name] - value).max(initial=0)
            what = f"deterministic: {name} of the same batch differs by {apart:.3g} in two calls"
            holds(np.array_equal(again[name], value), what)
        kept = {name: value.copy() for name, value in whole.items()}
        first, second = _value(metric, kept), _value(metric, whole)
        _compare(metric, "deterministic", first, second, 1e-12)
        same = all(np.array_equal(kept[name], value) for name, value in whole.items())
        holds(same, "inputs: value modified the sums that it was given")


def _check_unselected(
    metric: Metric, batch: Batch, side: SideName, generator: np.random.Generator
) -> None:
    """Other activations at unselected tokens change nothing that does not say it reads them.

    Where all tokens of a batch are selected, some are taken out of the selection.
    """
    if len(batch.selected) == len(batch.document):
        kept = np.sort(generator.permutation(len(batch.selected))[::2])
        batch = reselected(batch, torch.from_numpy(kept))
    found = _value(metric, _sums(metric, batch, side))
    again = _value(metric, _sums(metric, elsewhere(batch, int(generator.integers(2**31))), side))
    for value, one, other in zip(metric.values, again, found, strict=True):
        same = value.unselected or np.isclose(one, other, rtol=1e-9, atol=0, equal_nan=True)
        what = (
            f"unselected: {value.id} is {other}, and {one} with other activations at tokens that "
            "are measured and not selected. Leave them out, or say MetricValue(unselected=True)"
        )
        holds(bool(same), what)


def _check_null(metric: Metric, batch: Batch, side: SideName) -> None:
    """Identical sides give the value that the metric states."""
    same = replace(batch, right=batch.left)
    found = _value(metric, _sums(metric, same, "left" if side == "right" else side))
    for value, number in zip(metric.values, found, strict=True):
        null = value.null or {}
        if null.get("kind") == "identical" and not abs(number - null["value"]) <= 1e-12:
            raise AssertionError(
                f"null: {value.id} of identical sides is {number}, not {null['value']}"
            )


def _check_draws(
    metric: Metric, batch: Batch, side: SideName, whole: Mapping[str, np.ndarray]
) -> None:
    """`value` treats each draw of its leading axis on its own.

    Sums called `total.` have one entry, as in a run: what is made of them may have one, too, or
    NaN in the other draws.
    """
    part = _sums(metric, only(batch, [0]), side)
    stacked = {
        name: whole[name]
        if name.startswith(ONCE)
        else np.concatenate([whole[name], part[name], 2 * whole[name]])
        for name in whole
    }
    once = any(name.startswith(ONCE) for name in whole)
    found = [np.atleast_1d(np.asarray(values, dtype=float)) for values in metric.value(stacked)]
    for value, values in zip(metric.values, found, strict=True):
        right = len(values) == 3 or (once and len(values) == 1)
        holds(right, f"draws: {value.id} has {len(values)} numbers for 3 draws")
    for draw in range(3):
        given = {
            name: sums if name.startswith(ONCE) else sums[draw : draw + 1]
            for name, sums in stacked.items()
        }
        alone = _value(metric, given)
        together = np.array([v[draw] if draw < len(v) else np.nan for v in found])
        known = ~(np.isnan(together) & once & (draw > 0))
        _compare(metric, "draws", together, np.where(known, alone, np.nan), 1e-12)


def _check_empty(metric: Metric, batch: Batch, side: SideName) -> None:
    """Nothing measured is undefined, never a number."""
    nothing = take(batch, torch.zeros(0, dtype=torch.long))
    found = _value(metric, _sums(metric, nothing, side))
    for value, number in zip(metric.values, found, strict=True):
        holds(np.isnan(number), f"empty: {value.id} of no tokens is {number}, not NaN")


def _sums(metric: Metric, batch: Batch, side: SideName) -> dict[str, np.ndarray]:
    """Sums over all documents of a batch, of the right form, as one draw."""
    one = batch.right if side == "right" else batch.left
    if one is None or (side == "pair" and batch.right is None):
        what = "right" if side == "right" else "pair of"
        raise AssertionError(f"sums: the batch has no {what} sides")
    found = {name: value.cpu().double().numpy() for name, value in metric.sums(batch, one).items()}
    holds("n" in found, "sums: n is missing, the number of what is measured by document")
    for name, value in found.items():
        rows = 1 if name.startswith(ONCE) else len(batch.documents)
        what = f"sums: {name} has shape {value.shape}, not one entry per document"
        holds(value.shape[:1] == (rows,), what)
        holds(bool(np.isfinite(value).all()), f"sums: {name} is not finite")
    return {name: value.sum(0, keepdims=True) for name, value in found.items()}


def _value(metric: Metric, sums: Mapping[str, np.ndarray]) -> np.ndarray:
    """The values of one draw."""
    found = metric.value(sums)
    numbers = f"sums: {len(found)} numbers for {len(metric.values)} values"
    holds(len(found) == len(metric.values), numbers)
    return np.array([np.asarray(number)[0] for number in found], dtype=float)


def _compare(
    metric: Metric, law: str, found: np.ndarray, expected: np.ndarray, rtol: float
) -> None:
    for value, one, other in zip(metric.values, found, expected, strict=True):
        near = np.isclose(one, other, rtol=rtol, atol=rtol * 1e-3, equal_nan=True)
        holds(bool(near), f"{law}: {value.id} is {one}, not {other}")
