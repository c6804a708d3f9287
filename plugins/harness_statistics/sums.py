"""States that are sums."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.contract import State


def plus(state: State, terms: Mapping[str, np.ndarray]) -> State:
    """A new state: the sum of both, entry by entry; an entry that one of them lacks is zero."""
    out = dict(state)
    for name, term in terms.items():
        out[name] = out[name] + term if name in out else term
    return out
