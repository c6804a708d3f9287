"""States that are plain sums: every entry adds, and what is absent is zero.

`start` can then be empty, which spares it from knowing widths before the first batch, and every
law of `Reduction` follows from addition.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from torch import Tensor

from harness.contract import State


def plus(state: State, **terms: np.ndarray | int) -> State:
    """A new state with `terms` added to it; integers stay int64, everything else is float64."""
    return merged(state, {name: _array(term) for name, term in terms.items()})


def distinct(numbers: Int[Tensor, " n"]) -> int:
    """How many different numbers there are."""
    return len(set(numbers.tolist()))


def merged(left: State, right: State) -> State:
    """The sum of two states, entry by entry; neither is modified."""
    out = {name: array.copy() for name, array in left.items()}
    for name, array in right.items():
        out[name] = out[name] + array if name in out else array.copy()
    return out


def count(state: State, name: str) -> int:
    """An entry that counts something; 0 where it is absent."""
    return int(state[name][0]) if name in state else 0


def _array(term: np.ndarray | int) -> np.ndarray:
    array = np.atleast_1d(np.asarray(term))
    return array.astype(np.int64 if array.dtype.kind in "biu" else np.float64)
