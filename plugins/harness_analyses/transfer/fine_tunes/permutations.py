"""How often a forecast given out anew would correlate as much: pure."""

from __future__ import annotations

from typing import Literal

import numpy as np

from harness_analyses.transfer.fine_tunes.panel import Used, Values, Within, pearson

Exchanged = Literal["apart", "together"]
"""How forecasts are given out anew: in every fine-tune by an order of its own, or by one order of
the domains in all fine-tunes."""
EXCHANGED: tuple[Exchanged, ...] = ("apart", "together")


def permutation_p(
    x: Values, y: Values, used: Used, within: Within, exchanged: Exchanged, draws: int, seed: int
) -> float:
    """Two-sided p of r: (1 + draws in which |r| is as large) / (1 + draws), in (0, 1].

    `apart` permutes the forecasts among the used domains of each fine-tune; within domains, among
    the used fine-tunes of each domain. It takes the domains of different fine-tunes for unrelated:
    a forecast that is alike in all fine-tunes gets a p that is far too small where changes are
    alike, too. `together` permutes whole domains (within domains: whole fine-tunes), by one order
    for all, and holds there. A sample that lands where nothing is used falls out, so a draw has a
    few samples less than the real one, which makes p a little too large. Orders that give the |r|
    at hand within 1e-12 count as equal to it.
    """
    rng = np.random.default_rng(seed)
    if within == "domain":
        x, y, used = x.T, y.T, used.T
    of: Within = "fine-tune" if within == "domain" else within
    limit = abs(float(pearson(x, y, used, of))) - 1e-12
    if exchanged == "apart":
        drawn = np.zeros((draws, *x.shape))
        for row, kept in enumerate(used):
            inside = np.flatnonzero(kept)
            orders = rng.permuted(np.tile(inside, (draws, 1)), axis=1)
            drawn[:, row, inside] = x[row, orders]
        r = pearson(drawn, y, used, of)
    else:
        orders = rng.permuted(np.tile(np.arange(x.shape[1]), (draws, 1)), axis=1)
        moved, kept = (values[:, orders].swapaxes(0, 1) for values in (x, used))
        r = pearson(moved, y, used & kept, of)
    return float(1 + (np.abs(r) >= limit).sum()) / (1 + draws)
