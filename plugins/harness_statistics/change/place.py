"""Where a change is looked at: the site that an SAE writes to, kept in the state."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from harness.contract import Batch, Inputs, Site, State
from harness.contract.sites import parse_site

_SITE = "site"


def started(inputs: Inputs, sae: str) -> State:
    """The state before any batch: which site to read, as the bytes of its name.

    `update` is not given the SAE's place; what it uses, `start` has to put into the state.
    """
    site = inputs.saes[sae].facts.site_out if sae in inputs.saes else None
    site = site or inputs.sae_sites.get(sae)
    return {} if site is None else {_SITE: np.frombuffer(str(site).encode(), np.uint8).astype(int)}


def site_of(state: State) -> Site:
    """The site that `started` wrote down."""
    return parse_site(bytes(state[_SITE].astype(np.uint8)).decode())


def both_sides(state: State, batch: Batch) -> tuple[Float[Tensor, "selected d"], ...]:
    """The activations of the selected tokens there, on the left and on the right."""
    assert batch.right is not None, "a change is of a pair"
    site, found = site_of(state), []
    for side in (batch.left, batch.right):
        x = side.x(site)
        found.append(x if len(batch.selected) == len(x) else x[batch.selected.to(x.device)])
    return found[0], found[1].to(found[0].device)


def apart(state: State) -> tuple[State, State]:
    """A state as what is added up, and the place, which is not."""
    place = {name: value for name, value in state.items() if name == _SITE}
    return {name: value for name, value in state.items() if name != _SITE}, place


def joined(left: State, right: State, add: Callable[[State, State], State]) -> State:
    """The state of both: their sums added by `add`, at the one place that both have."""
    (mine, here), (theirs, there) = apart(left), apart(right)
    return add(mine, theirs) | there | here
