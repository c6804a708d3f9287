"""Other features that are active about as often as some: controls of those."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

NEAREST = 10
"""Latents of like frequency among which each match is drawn."""


def matched(
    chosen: Int[np.ndarray, " n"], active: Float[np.ndarray, " d_sae"], random: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """For each chosen feature, in order, another one that is active about as often, each once.

    `active` counts tokens. Each is drawn among the ten active others whose count is nearest by
    |log|; one that is never active is matched with the rarest. There must be n others.
    """
    free = active > 0
    free[chosen] = False
    with np.errstate(divide="ignore"):
        rate = np.log(active)
    floor = rate[free].min()
    out = []
    for feature in chosen:
        pool = np.flatnonzero(free)
        distance = np.abs(rate[pool] - max(rate[feature], floor))
        nearest = pool[np.argsort(distance, kind="stable")[:NEAREST]]
        out.append(int(random.choice(nearest)))
        free[out[-1]] = False
    return np.array(out)
