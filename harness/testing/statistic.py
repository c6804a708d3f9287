"""Laws that every statistic keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from harness.contract import Batch, Inputs, Outcome, Reduction
from harness.testing.support.laws import law, raises_nothing, untried
from harness.testing.support.outcomes import check_outcome
from harness.testing.support.reductions import check_reduction, finished

Reference = Callable[[Sequence[Batch]], Mapping[str, float | Sequence[float] | np.ndarray]]
"""From all batches: by record id its value, or the values of its records in order; by name an
array. NaN where a record is undefined."""


def check_statistic(
    statistic: Reduction,
    *batches: Batch,
    reference: Reference,
    inputs: Inputs | None = None,
    tolerance: float = 1e-9,
) -> None:
    """Raises AssertionError, naming the law, where a statistic breaks one.

    `batches` are two or more, those of all its streams (see `harness.testing.small_batch`); none
    for a statistic that reads no activations.
    `reference` is the statistic written down once more, in numpy and float64, for all of them
    together; what it does not name is not compared. Numbers of two ways that must agree may differ
    by `tolerance`, relative to the largest of their array; those of the reference by 1e-6.

    Laws: the state is plain arrays · inputs are not modified · finish is deterministic · any split
    into batches gives the same · the order of documents does not matter · the order of batches
    does not matter · merge is commutative · merge is associative · merging a fresh state changes
    nothing · a document without measured tokens changes nothing · the same batches give the same ·
    a state that was saved goes on the same · an Outcome comes out · no directions · records are
    complete and unique · tables have rows of plain values · arrays are numbers with a name · p
    values are between 0 and 1, each with what it is of · the numbers are the reference's · nothing
    read is undefined, not an error.
    """
    if len(batches) == 1:
        raise ValueError("check_statistic: a state of one batch cannot be merged. Pass two or more")
    given = inputs or Inputs()
    outcome = check_reduction(statistic, batches, given, tolerance)
    check_outcome(outcome)
    if not reference(batches):
        untried("the samples' reference names no number", "the numbers are the reference's")
    _compare(outcome, reference(batches))
    if not batches:
        return
    with raises_nothing("nothing read is undefined, not an error"):
        nothing = finished(statistic, statistic.start(given), given)
    check_outcome(nothing)
    for record in nothing.records:
        what = f"without a batch {record.id} is {record.value}"
        law(record.value is None or record.n > 0, "nothing read is undefined, not an error", what)


def _compare(
    outcome: Outcome, expected: Mapping[str, float | Sequence[float] | np.ndarray]
) -> None:
    name = "the numbers are the reference's"
    for key, wanted in expected.items():
        records = [record for record in outcome.records if record.id == key]
        law(bool(records) or key in outcome.arrays, name, f"{key!r} did not come out")
        if records:
            values = [np.nan if record.value is None else record.value for record in records]
            found = np.array(values, dtype=float)
        else:
            found = np.asarray(outcome.arrays[key], dtype=float)
        want = np.atleast_1d(np.asarray(wanted, dtype=float)) if records else np.asarray(wanted)
        scale = float(np.nan_to_num(np.abs(want)).max(initial=0.0))
        same = found.shape == want.shape
        same = same and bool(np.allclose(found, want, rtol=0, atol=1e-6 * scale, equal_nan=True))
        law(same, name, f"{key!r} is {found}, not {want}")
