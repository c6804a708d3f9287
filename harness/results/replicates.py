"""Intervals by documents: sums are kept for groups of them, left out and drawn at the end.

A document falls into one of `GROUPS` groups by the hash of its id, so sums by group add up over
shards in any order, and memory does not grow with the number of documents. Whatever number is made
of the sums is then made once more for each *replicate*: of all documents, without each group, of
each group alone, and of groups drawn with replacement. From these `interval` knows how much the
number varies, how skewed it is and how far it bends. Documents are the clusters: tokens of one are
in or out together. What the intervals cover was counted: docs/statistics.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from harness.results.numbers import MIN_CLUSTERS as MIN_CLUSTERS

GROUPS = 256
"""Groups of documents: as many as a byte tells apart."""
DRAWS = 200
"""Draws of groups with replacement."""
REPLICATES = 1 + 2 * GROUPS + DRAWS
"""The data, then without each group, then each group alone, then the draws."""
LEFT_OUT = slice(1, 1 + GROUPS)
"""Where the replicates without each group are."""
ALONE = slice(1 + GROUPS, 1 + 2 * GROUPS)
"""Where those of each group alone are."""
DRAWN = slice(1 + 2 * GROUPS, REPLICATES)
"""Where the draws are."""
SKEWED = 1.15
"""How much more skewed the documents are than they show, as counted: samples lack the far tail."""
TOLD = 0.8
"""The share of the draws' variance that the groups must tell for their own spread to count."""
_BEND = 0.5
"""The strongest bend that is believed, in units of the standard error."""
_UNDEFINED = 0.05
"""The share of draws that may be undefined, for want of a document with something to measure."""
Why = tuple[tuple[float, float] | None, str | None]
"""An interval, or why there is none."""


@lru_cache(maxsize=65536)
def group_of(document: str, seed: int) -> int:
    """The group of a document, from the hash of seed and id alone: the same in every process."""
    return hashlib.shake_128(f"group\0{seed}\0{document}".encode()).digest(1)[0]


def groups_of(documents: Sequence[str], seed: int) -> Int[np.ndarray, " documents"]:
    """The groups of some documents."""
    return np.array([group_of(document, seed) for document in documents], dtype=np.int64)


def group_rows(documents: Sequence[str], seed: int) -> Float[np.ndarray, "groups_plus_1 documents"]:
    """What sums by document are multiplied with: the first row adds up all, the others a group."""
    return _rows(groups_of(documents, seed))


def _rows(groups: Int[np.ndarray, " documents"]) -> Float[np.ndarray, "groups_plus_1 documents"]:
    rows = np.zeros((1 + GROUPS, len(groups)))
    rows[0] = 1
    rows[1 + groups, np.arange(len(groups))] = 1
    return rows


@cache
def _draws() -> Float[np.ndarray, "draws groups"]:
    """How often each group is in each draw: `GROUPS` of them, with replacement."""
    picked = np.frombuffer(hashlib.shake_128(b"draws of groups").digest(DRAWS * GROUPS), np.uint8)
    counts = [np.bincount(one, minlength=GROUPS) for one in picked.reshape(DRAWS, GROUPS)]
    weights = np.stack(counts).astype(np.float64)
    weights.flags.writeable = False
    return weights


def replicated(
    sums: Float[np.ndarray, "groups_plus_1 ..."],
) -> Float[np.ndarray, "replicates ..."]:
    """The sums of every replicate, from those of the data (first row) and of each group."""
    data, groups = sums[:1], sums[1:]
    flat = groups.reshape(GROUPS, -1)
    drawn = (_draws() @ flat).reshape(DRAWS, *groups.shape[1:])
    return np.concatenate([data, data - groups, groups, drawn])


def replicate_weights(ids: Sequence[str], seed: int) -> Float[np.ndarray, "replicates ids"]:
    """How often each thing is in each replicate, where all of them are at hand.

    Equal ids are one thing. Up to `GROUPS` different ones are each a group of its own.
    """
    different = sorted(set(ids))
    if len(different) <= GROUPS:
        place = {one: number for number, one in enumerate(different)}
        groups = np.array([place[one] for one in ids], dtype=np.int64)
    else:
        groups = groups_of(ids, seed)
    return replicated(_rows(groups))


def interval(
    values: Float[np.ndarray, " replicates"],
    clusters: int,
    of: str = "documents",
    *,
    fewest: int = MIN_CLUSTERS,
) -> Why:
    """The 95% interval of values[0], or why there is none.

    `values` has the number of each replicate, NaN where it is undefined; `clusters` are the
    different documents (`of`: what they are called) in which it was measured.

    With θ the number, θ₍g₎ without group g of the m that hold a document, and θ* of the draws:

    - a group's part: `L_g = (m−1)/m · (θ − θ₍g₎)`, minus its mean; `S² = Σ L_g²`
    - standard error: the spread of θ* or, if that is larger, S, times `√(m/(m−1))`; but S does not
      count where ℓ and ℓ² tell less than 0.8 of the variance of θ*, as of a median of few numbers
    - skewness: `a = 1.15 · Σ L_g³ / (6 S³)`
    - bend: c, of `(θ* − θ − ℓ)/S` on `(ℓ/S)²`, with ℓ = Σ_g (weight − 1) L_g what the draw would
      add to a number that does not bend; |c| ≤ 0.5
    - Student's t at 97.5% with `3 (m−1) / max(3, m Σ L_g⁴ / S⁴)` degrees of freedom: fewer where
      few groups make the number

    With `A = 2a + c` and `B = a + c` the ends are `θ − SE · h(±t)`, `h(q) = ((1 + 3A (q−B))^⅓ −
    1)/A`: Hall's transformation, whose coefficients are those of ABC intervals, which hold for
    numbers that bend, too. Where θ lies among the values of the groups alone, so do both ends: a
    share stays between 0 and 1. Where no replicate differs the interval is a point.

    Undefined with fewer than `fewest` clusters, where leaving out a group leaves nothing to
    measure, and where more than 5% of the draws are undefined.
    Sources: P. Hall 1992, "On the removal of skewness by transformation"; T. DiCiccio and B. Efron
    1996, "Bootstrap confidence intervals", sections 4 and 8; F. Satterthwaite 1946. The constant
    1.15 and the larger of two errors are ours, chosen by what they cover.
    """
    why = undefined_why(values, clusters, of, fewest)
    if why is not None:
        return None, why
    low, high = ends(values[:, None], clusters)
    return (float(low[0]), float(high[0])), None


def undefined_why(
    values: Float[np.ndarray, " replicates"], clusters: int, of: str, fewest: int
) -> str | None:
    """Why these replicates make no interval; None where they do."""
    if clusters < fewest:
        return f"{clusters} {of}; an interval needs {fewest}"
    if not np.isfinite(values[LEFT_OUT]).all():
        return f"without some of the {of} it is undefined: it hangs on them alone"
    undefined = int((~np.isfinite(values[DRAWN])).sum())
    if undefined > _UNDEFINED * DRAWS:
        return f"undefined in {undefined} of {DRAWS} draws of {of}"
    return None


def ends(
    values: Float[np.ndarray, "replicates numbers"], clusters: int
) -> tuple[Float[np.ndarray, " numbers"], Float[np.ndarray, " numbers"]]:
    """Both ends of `interval` for many numbers at once; each has replicates that make one."""
    value = values[0]
    # As many groups as so many documents fall into, on average.
    groups = GROUPS * -np.expm1(clusters * np.log1p(-1 / GROUPS))
    parts = (value - values[LEFT_OUT]) * (groups - 1) / groups
    parts -= parts.mean(0)
    size = np.sqrt(np.square(parts).sum(0))
    # A number that no single group moves, as many a median, has no direction of its own.
    unit = parts / np.where(size > 0, size, 1)
    skewness = SKEWED * (unit**3).sum(0) / 6
    peaked = np.maximum(3, groups * (unit**4).sum(0))
    t = special.stdtrit(3 * (groups - 1) / peaked, 0.975)
    drawn = np.where(np.isfinite(values[DRAWN]), values[DRAWN], value) - value
    bend, told = _fitted(drawn, (_draws() - 1) @ unit, size)
    spread = drawn.std(0)
    error = np.where(told < TOLD, spread, np.maximum(size, spread))
    error *= np.sqrt(groups / (groups - 1))
    slope, shift = 2 * skewness + bend, skewness + bend
    low = value - error * _unbent(t, slope, shift)
    high = value - error * _unbent(-t, slope, shift)
    low, high = np.minimum(low, value), np.maximum(high, value)
    alone = values[ALONE]
    least = np.where(np.isfinite(alone), alone, np.inf).min(0)
    most = np.where(np.isfinite(alone), alone, -np.inf).max(0)
    inside = (least < value) & (value < most)
    return (
        np.where(inside, np.maximum(low, least), low),
        np.where(inside, np.minimum(high, most), high),
    )


def _fitted(
    drawn: Float[np.ndarray, "draws numbers"],
    straight: Float[np.ndarray, "draws numbers"],
    size: Float[np.ndarray, " numbers"],
) -> tuple[Float[np.ndarray, " numbers"], Float[np.ndarray, " numbers"]]:
    """c of `(θ* − θ)/S = u + c u² + …` with u = ℓ/S, and the share of the variance of θ* that u and
    u² tell together, both by least squares; 0 where S is 0."""
    one, two = straight - straight.mean(0), np.square(straight)
    two = two - two.mean(0)
    two -= one * _over((one * two).sum(0), np.square(one).sum(0))
    moved = drawn / np.where(size > 0, size, 1)
    bend = _over((two * (moved - straight)).sum(0), np.square(two).sum(0))
    moved = moved - moved.mean(0)
    told = sum(_over(np.square((way * moved).sum(0)), np.square(way).sum(0)) for way in (one, two))
    share = _over(np.asarray(told), np.square(moved).sum(0))
    return np.clip(np.where(size > 0, bend, 0.0), -_BEND, _BEND), share


def _over(
    top: Float[np.ndarray, " numbers"], below: Float[np.ndarray, " numbers"]
) -> Float[np.ndarray, " numbers"]:
    """`top / below`; 0 where there is nothing below."""
    return np.asarray(np.where(below > 0, top / np.where(below > 0, below, 1), 0.0))


def _unbent(
    q: Float[np.ndarray, " numbers"],
    slope: Float[np.ndarray, " numbers"],
    shift: Float[np.ndarray, " numbers"],
) -> Float[np.ndarray, " numbers"]:
    """h(q); q − B where A is 0."""
    flat = np.abs(slope) < 1e-6
    safe = np.where(flat, 1.0, slope)
    bent = (np.cbrt(1 + 3 * safe * (q - shift)) - 1) / safe
    return np.asarray(np.where(flat, q - shift, bent))
