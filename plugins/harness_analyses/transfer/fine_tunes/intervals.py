"""Intervals of correlations over fine-tunes and domains, which hold with few of either: pure.

Fine-tunes are the clusters: the domains of one share its training, so their samples are no
independent ones. With ten of them a bootstrap of fine-tunes is too narrow (it covers 80 to 90%
where it says 95); leaving out one at a time, with Student's t of one degree less, holds.

That is an interval for *other fine-tunes on these domains*. Where the domains share something of
their own (fragile ones, say, in every fine-tune), it says nothing of other domains and is far too
narrow for them. The wider one leaves out domains, too, and takes the wider of both.
tests/plugins/analyses/transfer/fine_tunes has the coverage of all these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy import special

from harness_analyses.transfer.fine_tunes.panel import Used, Values, Within, pearson

Clusters = Literal["fine-tunes", "either"]
"""What an interval is over: other fine-tunes, or the wider of that and of other domains."""
CLUSTERS: tuple[Clusters, ...] = ("fine-tunes", "either")
FEWEST = 3
"""Clusters below which leaving one out gives no interval."""
Numbers = Float[np.ndarray, " *draws"]
Each = Float[np.ndarray, "clusters *draws"]
Interval = tuple[tuple[float, float] | None, str | None]


def left_out(number: Callable[[Used], Numbers], used: Used, axis: int) -> Each:
    """The number without one fine-tune (axis 0), or without one domain (axis 1), at a time."""
    found = []
    for one in np.flatnonzero(used.any(1 - axis)):
        kept = used.copy()
        kept[(one, slice(None)) if axis == 0 else (slice(None), one)] = False
        found.append(number(kept))
    return np.array(found)


def half_width(number: Callable[[Used], Numbers], used: Used, clusters: Clusters) -> Numbers:
    """Half of the 95% interval: t_{G−1, 97.5%} √((G−1)/G Σ_g (θ_(g) − θ̄)²), of G clusters.

    `either`: the larger of that over fine-tunes and that over domains. NaN where the number does
    not exist without one of them. Source of the estimate: Cameron and Miller, "A Practitioner's
    Guide to Cluster-Robust Inference", 2015, section VI (CV3, by the jackknife).
    """
    halves = []
    for axis in (0,) if clusters == "fine-tunes" else (0, 1):
        without = left_out(number, used, axis)
        n = len(without)
        with np.errstate(invalid="ignore"):  # an infinite one gives NaN
            spread = (n - 1) / n * np.square(without - without.mean(0)).sum(0)
        halves.append(special.stdtrit(n - 1, 0.975) * np.sqrt(spread))
    return np.maximum.reduce(halves)


def fisher(x: Values, y: Values, within: Within) -> Callable[[Used], Numbers]:
    """artanh r of the samples that are used: intervals are made on this scale."""

    def number(used: Used) -> Numbers:
        with np.errstate(divide="ignore"):
            return np.arctanh(pearson(x, y, used, within))

    return number


def correlation_interval(
    x: Values, y: Values, used: Used, within: Within, clusters: Clusters
) -> Interval:
    """The 95% interval of r in [−1, 1], made on Fisher's scale, or why there is none."""
    number = fisher(x, y, within)
    if why := _few(used, clusters):
        return None, why
    z = float(number(used))
    if not np.isfinite(z):
        return None, "the samples lie on a line, so leaving some out changes nothing"
    half = float(half_width(number, used, clusters))
    if not np.isfinite(half):
        return None, "without one of the clusters there is no correlation, or an exact one"
    return (float(np.tanh(z - half)), float(np.tanh(z + half))), None


def difference_interval(
    pair: Sequence[Values], y: Values, used: Used, within: Within, clusters: Clusters
) -> Interval:
    """The 95% interval of r(first, y) − r(second, y), of the same samples, in [−2, 2]."""

    def number(kept: Used) -> Numbers:
        first, second = (pearson(x, y, kept, within) for x in pair)
        out: np.ndarray = first - second
        return out

    if why := _few(used, clusters):
        return None, why
    half = float(half_width(number, used, clusters))
    if not np.isfinite(half):
        return None, "without one of the clusters one of the correlations does not exist"
    value = float(number(used))
    return (max(value - half, -2.0), min(value + half, 2.0)), None


def _few(used: Used, clusters: Clusters) -> str | None:
    for name, axis in (("fine-tunes", 1), ("domains", 0))[: 1 if clusters == "fine-tunes" else 2]:
        if (n := int(used.any(axis).sum())) < FEWEST:
            return f"{n} {name}; an interval needs {FEWEST}"
    return None
