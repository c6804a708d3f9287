"""Correlations of two numbers of the same domains: intervals, and what single domains do."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from harness.results.correlation import Correlation, correlate

Domains = Float[np.ndarray, " n"]
"""A number of each domain."""
ENOUGH = 5
"""Domains below which draws of them give no interval."""


def with_change(forecast: Domains, change: Domains) -> tuple[Correlation | None, str | None]:
    """How a forecast goes with the measured change over domains, or why that is undefined."""
    return correlate(forecast, change, ("forecast", "measured change"), "domains")


def bootstrap(
    x: Domains, y: Domains, draws: int, seed: int
) -> tuple[dict[str, tuple[float, float]] | None, str | None]:
    """95% intervals of `pearson`, `spearman` and `r2`, by drawing domains with replacement.

    Percentiles at Φ(∓ t_{n−1, 97.5%} √(n/(n−1))), wider than plain ones for few domains
    (Hesterberg 2015). Draws in which one of the two does not vary are drawn again. None, with the
    reason, for fewer than 5 domains.
    """
    n = len(x)
    if n < ENOUGH:
        return None, f"{n} domains; an interval needs {ENOUGH}"
    rng = np.random.default_rng(seed)
    # More than are needed, as some do not vary; the first `draws` of those that do count.
    rows = rng.integers(n, size=(4 * draws, n))
    rows = rows[(np.ptp(x[rows], axis=1) > 0) & (np.ptp(y[rows], axis=1) > 0)][:draws]
    if len(rows) < draws:
        return None, "most draws of domains do not vary"
    a, b = x[rows], y[rows]
    pearson = _rowwise(a, b)
    spearman = _rowwise(stats.rankdata(a, axis=1), stats.rankdata(b, axis=1))
    drawn = {"pearson": pearson, "spearman": spearman, "r2": pearson**2}
    tail = special.ndtr(-special.stdtrit(n - 1, 0.975) * np.sqrt(n / (n - 1)))
    ends = {name: np.quantile(values, [tail, 1 - tail]) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}, None


def _rowwise(
    x: Float[np.ndarray, "draws n"], y: Float[np.ndarray, "draws n"]
) -> Float[np.ndarray, " draws"]:
    """Pearson's r of each row."""
    x, y = (array - array.mean(1, keepdims=True) for array in (x, y))
    r: np.ndarray = (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))
    return r.clip(-1, 1)


def leave_one_out(x: Domains, y: Domains) -> list[float | None]:
    """Pearson's r without each of the domains in turn; None where it is undefined."""
    others = (with_change(np.delete(x, i), np.delete(y, i))[0] for i in range(len(x)))
    return [None if found is None else found.pearson for found in others]


def extremes(change: Domains, each: int) -> Float[np.ndarray, " m"]:
    """The indices of the `each` largest and `each` smallest values, ascending; ties by index."""
    order = np.argsort(-change, kind="stable")
    return np.sort(np.concatenate([order[:each], order[len(order) - each :]]))
