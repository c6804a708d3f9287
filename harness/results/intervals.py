"""Intervals: Wilson's for rates; by groups of documents for numbers made of sums.

`Sums` keeps every sum of a metric for groups of documents; `harness.results.replicates` says how an
interval is made of them. `draw_weights` and `percentile_interval` are a plain Poisson bootstrap, in
which a document's weight in a draw depends on its id alone: for numbers that can be drawn again,
and have no groups.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Bool, Float
from scipy import special

from harness.contract import Metric, MetricValue, Record, State
from harness.results.numbers import MIN_CLUSTERS as MIN_CLUSTERS
from harness.results.replicates import (
    ALONE,
    DRAWN,
    DRAWS as DRAWS,
    GROUPS,
    LEFT_OUT,
    REPLICATES,
    groups_of,
    interval,
    replicated,
)

ONCE = "total."
"""How the names of sums begin that have one row for a batch, and are not drawn."""
Z = 1.959963984540054
"""The 97.5% point of the normal distribution."""
_CDF = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(13)])
_POISSON = np.floor(_CDF * 2**32).astype(np.uint64)
"""Poisson(1) as limits on 32 random bits; beyond 12 lie less than one in 2^32."""


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95% interval of a rate of yes and no (Wilson's score interval).

    `(p + z²/2n ± z√(p(1−p)/n + z²/4n²)) / (1 + z²/n)` with p = successes/n. Never leaves [0, 1]
    and has a width at 0 and at 1, where a bootstrap would have none. Trials are independent.

    Raises ValueError where n is 0 (no interval exists) or successes are not between 0 and n.
    Source: E. B. Wilson, 1927.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no rate")
    p, square = successes / n, Z**2
    centre = (p + square / (2 * n)) / (1 + square / n)
    half = Z * math.sqrt(p * (1 - p) / n + square / (4 * n * n)) / (1 + square / n)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def clustered_wilson(
    successes: Float[np.ndarray, " clusters"], trials: Float[np.ndarray, " clusters"]
) -> tuple[tuple[float, float] | None, str | None]:
    """Wilson's interval of a rate whose trials come in clusters, or why there is none.

    Equal things, such as copies of a prompt, are one cluster: however often it is tried, it says
    nothing of others, so several trials of a single cluster have no interval. Else Wilson's at the
    number of independent trials that would vary as much (trials over the design effect, at least
    1), or at the number of clusters where all trials agree. Every cluster has a trial. Source:
    Franco et al. 2019.
    """
    n, clusters = float(trials.sum()), len(trials)
    if clusters == 1 and n > 1:
        return None, f"all {n:.0f} are of one prompt, which says nothing of other prompts"
    share = float(successes.sum() / n)
    effective = float(clusters)
    if 0 < share < 1 and clusters > 1:
        spread = float(np.square(successes - share * trials).sum())
        design = spread * clusters / (clusters - 1) / (n * share * (1 - share))
        effective = n / max(1.0, design)
    # Wilson's formula holds for any size; only the counts that it is written with are whole.
    return wilson(share * effective, effective), None  # type: ignore[arg-type]


@lru_cache(maxsize=4096)
def poisson_weights(document_id: str, draws: int, seed: int) -> Float[np.ndarray, " draws"]:
    """A document's weight in each draw: Poisson(1), float64, read-only.

    From the hash of seed and id alone: the same in every split, order, process and version.
    """
    key = f"{seed}\0{document_id}".encode()
    bits = np.frombuffer(hashlib.shake_128(key).digest(4 * draws), dtype="<u4")
    weights = np.searchsorted(_POISSON, bits, side="right").astype(np.float64)
    weights.flags.writeable = False
    return weights


def draw_weights(
    documents: Sequence[str], draws: int, seed: int
) -> Float[np.ndarray, "draws_plus_1 documents"]:
    """Weights of some documents; the first row is 1, for the sums of the data themselves."""
    weights = np.ones((draws + 1, len(documents)))
    for column, document in enumerate(documents):
        weights[1:, column] = poisson_weights(document, draws, seed)
    return weights


def percentile_interval(
    draws: Float[np.ndarray, " draws"], clusters: int, *, fewest: int = MIN_CLUSTERS
) -> tuple[tuple[float, float] | None, str | None]:
    """The 95% percentile interval of a bootstrap, or why there is none.

    With n clusters the quantiles are `Φ(∓ t_{n−1, 97.5%} √(n/(n−1)))`, which are 2.5% and 97.5%
    for many: plain ones are too narrow for few, by the same factor as a normal interval in place
    of Student's. Draws without a number are left out, up to one in twenty. Where documents are
    skewed it covers less than 95% (0.88 to 0.92): `harness.results.replicates.interval` does
    better. Source: Hesterberg, "What Teachers Should Know About the Bootstrap", 2015 (expanded
    percentile interval).
    """
    if clusters < fewest:
        return None, f"{clusters} documents; an interval needs {fewest}"
    known = draws[np.isfinite(draws)]
    undefined = len(draws) - len(known)
    if undefined > 0.05 * len(draws):
        return None, f"undefined in {undefined} of {len(draws)} draws of documents"
    width = special.stdtrit(clusters - 1, 0.975) * math.sqrt(clusters / (clusters - 1))
    tail = special.ndtr(-width)
    low, high = np.quantile(known, [tail, 1 - tail])
    return (float(low), float(high)), None


class Sums:
    """Accumulates the sums of a metric, of all documents and of each group of them.

    State: `sum.<name>` Float64 [1 + GROUPS, ...] for each sum of the metric, `clusters` Int64
    [values] (documents in which each value was measured), `seed` Int64 [1]. A value's tokens are
    counted by the sum `n.<its id>` where the metric has one, else by `n`. Sums whose name begins
    with `total.` are of the whole batch and kept for the data alone: Float64 [1, ...].
    """

    def __init__(self, values: Sequence[MetricValue]) -> None:
        self._values = tuple(values)

    def start(self, seed: int) -> State:
        """No documents yet."""
        return {
            "seed": np.array([seed], dtype=np.int64),
            "clusters": np.zeros(len(self._values), dtype=np.int64),
        }

    def update(
        self,
        state: State,
        documents: Sequence[str],
        sums: Mapping[str, np.ndarray],
        copies: Sequence[int] = (),
    ) -> State:
        """A new state with the sums of some documents, each Float64 [documents, ...].

        `copies` is how many equal ones came before each: one with any adds to every sum, and is no
        cluster of its own.
        """
        groups = groups_of(documents, int(state["seed"][0]))
        added = dict(state)
        for name, by_document in sums.items():
            rows = 1 if name.startswith(ONCE) else 1 + GROUPS
            before = state.get(f"sum.{name}")
            empty = np.zeros((rows, *by_document.shape[1:]))
            total = empty if before is None else before.copy()
            total[0] += by_document.sum(0)
            if rows > 1:
                np.add.at(total, 1 + groups, by_document)
            added[f"sum.{name}"] = total
        first = np.array(copies) == 0 if len(copies) else True
        counted = [self._n(value, sums) for value in self._values]
        measured = [np.count_nonzero((count != 0) & first) for count in counted]
        added["clusters"] = state["clusters"] + np.array(measured, dtype=np.int64)
        return added

    def merge(self, left: State, right: State) -> State:
        """The state of all documents of two; they were weighted with the same seed."""
        if int(left["seed"][0]) != int(right["seed"][0]):
            raise ValueError("two states with different seeds do not merge")
        merged = {**right, **left}
        for name in (left.keys() & right.keys()) - {"seed"}:
            merged[name] = left[name] + right[name]
        return merged

    def records(
        self, metric: Metric, state: State, options: Mapping[str, object] | None = None
    ) -> list[Record]:
        """A record for each value: from all documents, with the interval of its replicates."""
        kept = {name.removeprefix("sum."): one for name, one in state.items() if name[:4] == "sum."}
        sums = {name: one[:1] for name, one in kept.items()}
        if kept:
            filled = _filled(kept)
            rows = {n: one if n.startswith(ONCE) else _some(one, filled) for n, one in kept.items()}
            # Some replicates have nothing to measure, which is nobody's mistake.
            with np.errstate(divide="ignore", invalid="ignore"):
                found = [_all(value, filled) for value in metric.value(rows)]
        else:
            found = [np.full(REPLICATES, np.nan)] * len(self._values)
        return [
            self._record(value, replicates, sums, int(clusters), options or {})
            for value, replicates, clusters in zip(
                self._values, found, state["clusters"], strict=True
            )
        ]

    def _record(
        self,
        value: MetricValue,
        replicates: np.ndarray,
        sums: Mapping[str, np.ndarray],
        clusters: int,
        options: Mapping[str, object],
    ) -> Record:
        exists = bool(np.isfinite(replicates[0]))
        ci, why = interval(replicates, clusters)
        if np.isnan(replicates[1:]).all():
            ci, why = None, f"made of sums called {ONCE}, which are kept for the data alone"
        if not exists or value.no_interval is not None:
            ci, why = None, value.no_interval if exists else value.undefined
        return Record(
            id=value.id,
            value=float(replicates[0]) if exists else None,
            n=round(float(self._n(value, sums)[0])) if sums else 0,
            n_of=value.n_of,
            unit=value.unit,
            options=options,
            clusters=clusters,
            ci=ci,
            ci_why=why,
            null=value.null,
            undefined=None if exists else value.undefined,
        )

    def _n(self, value: MetricValue, sums: Mapping[str, np.ndarray]) -> np.ndarray:
        own = f"n.{value.id}"
        return sums[own] if own in sums else sums["n"]


def _filled(sums: Mapping[str, np.ndarray]) -> Bool[np.ndarray, " groups"]:
    """The groups that hold anything: replicates of the others are those of all, or of nothing."""
    grouped = [
        one[1:].reshape(GROUPS, -1) for name, one in sums.items() if not name.startswith(ONCE)
    ]
    filled: np.ndarray = np.any([one.any(1) for one in grouped], axis=0)
    return filled


def _some(
    sums: Float[np.ndarray, "groups_plus_1 ..."], filled: Bool[np.ndarray, " groups"]
) -> Float[np.ndarray, "rows ..."]:
    """`replicated` of the filled groups alone, which are few where there are few documents."""
    data, groups = sums[:1], sums[1:][filled]
    # The width is said: where nothing was measured there is no group to tell it.
    drawn = _often()[:, filled] @ groups.reshape(len(groups), math.prod(data.shape[1:]))
    return np.concatenate([data, data - groups, groups, drawn.reshape(-1, *groups.shape[1:])])


def _all(value: object, filled: Bool[np.ndarray, " groups"]) -> Float[np.ndarray, " replicates"]:
    """A number of every replicate, from those of `_some`: NaN where it was not computed.

    A value made of sums called `total.` alone has one number, that of the data.
    """
    found = np.atleast_1d(np.asarray(value, dtype=np.float64))
    everywhere = np.full(REPLICATES, np.nan)
    everywhere[0] = found[0]
    if len(found) > 1:
        groups = int(filled.sum())
        everywhere[LEFT_OUT] = found[0]
        everywhere[LEFT_OUT][filled] = found[1 : 1 + groups]
        everywhere[ALONE][filled] = found[1 + groups : 1 + 2 * groups]
        everywhere[DRAWN] = found[1 + 2 * groups :]
    return everywhere


@cache
def _often() -> Float[np.ndarray, "draws groups"]:
    """How often each group is in each draw."""
    return replicated(np.concatenate([np.ones((1, GROUPS)), np.eye(GROUPS)]))[DRAWN]
