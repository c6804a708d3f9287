"""The chance to see a correlation that is there, before anything is measured: by simulation."""

from __future__ import annotations

import numpy as np

from harness_analyses.transfer.fine_tunes.intervals import Clusters, fisher, half_width
from harness_analyses.transfer.fine_tunes.panel import Used, Values


def drawn(
    used: Used, correlation: float, shared: tuple[float, float], draws: int, seed: int
) -> tuple[Values, Values]:
    """Forecasts and changes of standard normal parts with a correlation within fine-tunes.

    A share of what varies within fine-tunes is the domains' own, the same in all fine-tunes: the
    first of `shared` of the forecast, the second of the change. Both parts correlate alike. Where
    the shares are so far apart that the correlation cannot be reached, it is the largest possible.
    """
    rng = np.random.default_rng(seed)
    tunes, domains = used.shape
    (p, q), shape = shared, (2, draws, tunes, domains)
    most = np.sqrt(p * q) + np.sqrt((1 - p) * (1 - q))
    c = float(np.clip(correlation / most, -1, 1)) if most else 0.0
    own, alike = rng.normal(size=shape), rng.normal(size=(2, draws, 1, domains))
    x = np.sqrt(1 - p) * own[0] + np.sqrt(p) * alike[0]
    follows = [c * part[0] + np.sqrt(1 - c**2) * part[1] for part in (own, alike)]
    return x, np.sqrt(1 - q) * follows[0] + np.sqrt(q) * follows[1]


def power(
    used: Used,
    correlation: float,
    shared: tuple[float, float],
    clusters: Clusters,
    draws: int,
    seed: int,
) -> int:
    """In how many of the draws the 95% interval of r within fine-tunes lies above 0."""
    x, y = drawn(used, correlation, shared, draws, seed)
    number = fisher(x, y, "fine-tune")
    return int((number(used) > half_width(number, used, clusters)).sum())


def planned(tunes: int, domains: int, own: int) -> Used:
    """Which samples a plan has: of so many fine-tunes, the first `own` leave out a domain each."""
    used = np.ones((tunes, domains), bool)
    each = np.arange(min(own, tunes))
    used[each, each % domains] = False
    return used
