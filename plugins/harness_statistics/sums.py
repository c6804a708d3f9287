"""Statistics whose states are sums."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.contract import Inputs, State


class Summed:
    """The start and the merging of a statistic whose state is sums."""

    def start(self, inputs: Inputs) -> State:
        """An empty state: every sum is zero."""
        return {}

    def merge(self, left: State, right: State) -> State:
        """Adds the sums of two states that saw different documents."""
        return plus(left, right)


def plus(state: State, terms: Mapping[str, np.ndarray]) -> State:
    """A new state: the sum of both, entry by entry; an entry that one of them lacks is zero."""
    out = dict(state)
    for name, term in terms.items():
        out[name] = out[name] + term if name in out else term
    return out
