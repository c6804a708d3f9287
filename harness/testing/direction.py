"""Laws that every direction finder keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from harness.contract import Axes, Batch, Found, Inputs, Outcome, Reduction, Undefined
from harness.testing.support.laws import law, untried
from harness.testing.support.outcomes import check_record, check_unique, key_of
from harness.testing.support.reductions import check_reduction, finished


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
    same · the order of documents does not matter · the order of batches does not matter · a
    document without measured tokens changes nothing · the same batches give the same · merge is
    commutative · merge is associative · merging a fresh state changes nothing · a state that was
    saved goes on the same · finish is deterministic · every variant comes out once · directions
    are finite float64 `[rank, d]` and not zero · readers are, too, and each gives its own vector 1
    and the others 0 · records are complete and unique · nothing read is undefined, not an error.
    """
    expected = check_reduction(reduction, batches, inputs, tolerance)
    _well_formed(expected, variants)
    if all(isinstance(found.direction, Undefined) for found in expected.directions):
        name = "directions are finite float64 `[rank, d]` and not zero"
        untried("every direction of the samples is undefined", name)
    if batches:
        nothing = finished(reduction, reduction.start(inputs), inputs)
        _well_formed(nothing, variants)
        for found in nothing.directions:
            undefined = isinstance(found.direction, Undefined)
            what = f"without a batch it yields {found.direction}"
            law(undefined, "nothing read is undefined, not an error", what)


# ── What comes out ───────────────────────────────────────────────────────────────────────────────


def _well_formed(outcome: Outcome, variants: Sequence[Axes]) -> None:
    promised = Counter(key_of(axes) for axes in variants)
    yielded = Counter(key_of(found.axes) for found in outcome.directions)
    what = f"promised {sorted(promised)}, yielded {sorted(yielded.elements())}"
    law(promised == yielded, "every variant comes out once", what)
    records = list(outcome.records)
    for found in outcome.directions:
        _vectors(found)
        records += [record.on(**found.axes) for record in found.records]
    for record in records:
        check_record(record)
    check_unique(records)


def _vectors(found: Found) -> None:
    if isinstance(found.direction, Undefined):
        said = bool(found.direction.reason.strip())
        law(said, "what is undefined says why", "an Undefined has an empty reason")
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
    name = "directions are finite float64 [rank, d] and not zero"
    law(fine, name, f"{found.axes}: {vectors!r}")
    direction = found.direction
    features, weights = len(direction.features), len(direction.weights)
    what = f"{found.axes}: {features} features, {weights} weights"
    law(features == weights, "every feature has a weight", what)
    origin = direction.origin
    fine = origin is None or (
        origin.dtype == np.float64
        and origin.shape == vectors.shape[1:]
        and bool(np.isfinite(origin).all())
    )
    law(fine, "an origin is finite float64 [d]", f"{found.axes}: {origin!r}")
    if direction.readers is not None:
        _readers(found.axes, vectors, direction.readers)
    site = direction.site
    law(site.fraction is None, "a direction says its block", f"it lives at {site}")


def _readers(axes: Axes, vectors: np.ndarray, readers: np.ndarray) -> None:
    fine = (
        readers.dtype == np.float64
        and readers.shape == vectors.shape
        and bool(np.isfinite(readers).all())
    )
    law(fine, "readers are finite float64 [rank, d]", f"{axes}: {readers!r}")
    each = readers @ vectors.T
    off = float(np.abs(each - np.eye(len(vectors))).max())
    what = f"{axes}: readers @ vectors.T is {off:.1e} from the identity"
    law(off <= 1e-6, "a reader gives its own vector 1 and the others 0", what)
