"""Laws that direction finders and statistics share: both are reductions."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from harness.contract import Batch, Inputs, Outcome, Reduction, State
from harness.store.states import PassStates, Saved
from harness.testing.support.batches import one_more, only, take
from harness.testing.support.laws import drawing, law, untried
from harness.testing.support.outcomes import agree, same
from harness.testing.support.watched import watched

_AGAIN = 3
"""How often something is done again that must come out the same."""
_EXACT = 1e-11
"""How far two ways to the very same sums may be apart, relative to the largest of their array."""


def check_reduction(
    reduction: Reduction, batches: Sequence[Batch], inputs: Inputs, tolerance: float
) -> Outcome:
    """The laws of `Reduction`; returns what it finds in all batches.

    Raises AssertionError, naming the law. Laws: the state is plain arrays · inputs are not
    modified · finish is deterministic · any split into batches gives the same · the order of
    documents does not matter · the order of batches does not matter · a document without measured
    tokens changes nothing · the same batches give the same · merge is commutative · merge is
    associative · merging a fresh state changes nothing · a state that was saved goes on the same.
    """
    whole = state_of(reduction, batches, inputs)
    expected = finished(reduction, whole, inputs)

    def keeps(name: str, state: State) -> None:
        same(name, finished(reduction, state, inputs), expected, tolerance)

    for _ in range(_AGAIN):
        again = finished(reduction, whole, inputs)
        same("finish is deterministic", again, expected, min(tolerance, _EXACT))
    for _ in range(_AGAIN):
        agree("the same batches give the same", "the state",
              state_of(reduction, batches, inputs), whole, _EXACT)  # fmt: skip
    for name, ordered in rearranged(batches):
        keeps(name, state_of(reduction, ordered, inputs))
    name = "a document without measured tokens changes nothing"
    padded = [_with_an_empty_one(batch, number) for number, batch in enumerate(batches)]
    found = finished(reduction, state_of(reduction, padded, inputs), inputs)
    same(name, _uncounted(found), _uncounted(expected), tolerance)
    parts = [state_of(reduction, [batch], inputs) for batch in batches]
    if not parts:
        untried(
            "no sample gives batches; what reads no activations has none",
            "any split into batches gives the same",
            "the order of documents does not matter",
            "the order of batches does not matter",
            "a document without measured tokens changes nothing",
            "the same batches give the same",
            "merge is commutative",
            "merge is associative",
            "merging a fresh state changes nothing",
            "a state that was saved goes on the same",
            "nothing read is undefined, not an error",
        )
        return expected
    keeps("any split into states gives the same", folded(reduction, parts))
    keeps("merge is commutative", folded(reduction, parts[::-1]))
    half = len(parts) // 2
    nested = [folded(reduction, part) for part in (parts[:half], parts[half:]) if part]
    keeps("merge is associative", folded(reduction, nested))
    generator = np.random.default_rng(drawing())
    single = [
        state_of(reduction, [only(batch, [place])], inputs)
        for batch in batches
        for place in range(len(batch.documents))
    ]
    for _ in range(_AGAIN):
        order = generator.permutation(len(single)).tolist()
        shuffled = [single[place] for place in order]
        keeps("merge is commutative", folded(reduction, shuffled))
        keeps("merge is associative", _grown(reduction, shuffled, generator))
    fresh = reduction.start(inputs)
    keeps("merging a fresh state changes nothing", merged(reduction, fresh, whole))
    keeps("merging a fresh state changes nothing", merged(reduction, whole, fresh))
    begun = saved_and_read(state_of(reduction, batches[:half], inputs))
    resumed = state_of(reduction, batches[half:], inputs, begun)
    keeps("a state that was saved goes on the same", resumed)
    return expected


def rearranged(batches: Sequence[Batch]) -> Iterator[tuple[str, list[Batch]]]:
    """The same documents in other batches, each way with the law that it tries."""
    single = [only(batch, [i]) for batch in batches for i in range(len(batch.documents))]
    yield "any split into batches gives the same", single
    yield "the order of batches does not matter", list(batches)[::-1]
    yield "the order of documents does not matter", [_backwards(batch) for batch in batches]


def _uncounted(outcome: Outcome) -> Outcome:
    """Values and vectors alone: whether a document without tokens counts in `n`, in `clusters` and
    in arrays, a plugin decides."""
    records = tuple(replace(one, n=0, clusters=None) for one in outcome.records)
    found = tuple(replace(one, records=()) for one in outcome.directions)
    return Outcome(records=records, directions=found)


def _with_an_empty_one(batch: Batch, number: int) -> Batch:
    """A document more, no token of which is measured."""
    copies = (*batch.copies, 0) if batch.copies else ()
    paths = {path: one_more(followed) for path, followed in batch.paths.items()}
    names = (*batch.documents, f"empty {number}")
    return replace(batch, documents=names, copies=copies, paths=paths)


def _grown(reduction: Reduction, states: Sequence[State], generator: np.random.Generator) -> State:
    """One state from several: neighbours are merged in any order until one is left."""
    left = list(states)
    while len(left) > 1:
        place = int(generator.integers(len(left) - 1))
        left[place : place + 2] = [merged(reduction, left[place], left[place + 1])]
    return left[0]


def _backwards(batch: Batch) -> Batch:
    tokens = torch.argsort(batch.document, descending=True, stable=True)
    return take(batch, tokens, range(len(batch.documents))[::-1])


# ── Running ──────────────────────────────────────────────────────────────────────────────────────


def state_of(
    reduction: Reduction, batches: Sequence[Batch], inputs: Inputs, begun: State | None = None
) -> State:
    """The state after some batches; it goes on from `begun` where there is one."""
    state = reduction.start(inputs) if begun is None else begun
    for batch in batches:
        _plain(state)
        before = copy.deepcopy(state)
        given, changed = watched(batch)
        after = reduction.update(state, given)
        what = f"update changed a tensor of its batch: {changed()}"
        law(not changed(), "inputs are not modified", what)
        _unmodified(before, state, "update changed the state that it was given")
        state = after
    _plain(state)
    return state


def merged(reduction: Reduction, left: State, right: State) -> State:
    """One state from two."""
    before = copy.deepcopy((left, right))
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
    before = copy.deepcopy(state)
    directions = copy.deepcopy(dict(inputs.directions))
    outcome = reduction.finish(state, inputs)
    _unmodified(before, state, "finish changed the state")
    for name, direction in directions.items():
        what = f"direction {name!r}"
        agree("inputs are not modified", what, inputs.directions[name], direction, 0)
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


def _unmodified(before: State, after: State, what: str) -> None:
    same = before.keys() == after.keys() and all(
        np.array_equal(array, after[name], equal_nan=True) for name, array in before.items()
    )
    law(same, "inputs are not modified", what)
