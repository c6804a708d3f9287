"""What every direction finder shares: a state of plain sums, and the seeds of random draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Literal, TypeVar

import numpy as np

from harness.contract import Batch, DirectionOptions, Inputs, State

_PURPOSES = ("vectors", "features")
Terms = Mapping[str, np.ndarray | int]
Given = TypeVar("Given", bound=DirectionOptions)


class Sums(Generic[Given]):
    """A direction finder whose state is plain sums: every entry adds, what is absent is zero.

    The first state can thus be empty, without a width being known, and shards merge by addition.
    """

    def __init__(self, given: Given) -> None:
        self.options = given

    def start(self, inputs: Inputs) -> State:
        """The state before anything was read: no sum."""
        return {}

    def update(self, state: State, batch: Batch) -> State:
        """The same state: a finder that reads no activation adds nothing."""
        return state

    def merge(self, left: State, right: State) -> State:
        """The sums of both."""
        return merged(left, right)


def plus(state: State, terms: Terms, prefix: str = "") -> State:
    """A new state with `terms` added, each to the entry that `prefix` and its name make.

    Integers stay int64, everything else is float64.
    """
    added = {}
    for name, term in terms.items():
        array = np.atleast_1d(term)
        whole = array.dtype.kind in "biu"
        added[f"{prefix}{name}"] = array.astype(np.int64 if whole else np.float64)
    return merged(state, added)


def prompts(batch: Batch) -> int:
    """How many prompts of the batch have a selected token."""
    return len(set(batch.document.index_select(0, batch.selected).tolist()))


def merged(left: State, right: State) -> State:
    """The sum of two states, entry by entry; neither is modified."""
    out = {name: array.copy() for name, array in left.items()}
    for name, array in right.items():
        out[name] = out[name] + array if name in out else array.copy()
    return out


def count(state: State, name: str) -> int:
    """A count that the state holds under a name; 0 where it has no such entry."""
    return int(state[name][0]) if name in state else 0


def generator(purpose: Literal["vectors", "features"], seed: int, draw: int) -> np.random.Generator:
    """The generator of one draw: PCG64 seeded with (purpose, seed, draw)."""
    return np.random.default_rng([_PURPOSES.index(purpose), seed % 2**64, draw])
