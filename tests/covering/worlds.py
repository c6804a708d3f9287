"""Documents whose truth is known, and what a number makes of many sets of them at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.results.intervals import clustered_wilson
from harness.results.replicates import ends, group_rows, replicated

Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of each set the low end, the high end, and how many documents it hangs on: of a share those on
the side that has fewer, a yes or a no among their tokens."""
Draw = Callable[[np.random.Generator, int, int], np.ndarray]
"""Values [sets, documents] of a distribution, of mean 1."""
BINS = 64
"""Bins of the histograms that medians are made of."""
AT_ONCE = 100
"""Sets that share the ids of their documents, and so the groups."""


@dataclass(frozen=True)
class World:
    """One row of the table: how documents come about, and the number that is made of them."""

    family: str
    name: str
    truth: float
    sets: Callable[[np.random.Generator, int, int], Drawn]
    """(generator, sets, documents) → both ends of each set's interval, and what it hangs on."""


def _distribution(name: str) -> Draw:
    draws: dict[str, Draw] = {
        "normal": lambda g, s, n: g.normal(1, 1, (s, n)),
        "exponential": lambda g, s, n: g.exponential(1, (s, n)),
        "lognormal": lambda g, s, n: g.lognormal(-0.5, 1, (s, n)),
        "Student's t, 3 degrees": lambda g, s, n: 1 + g.standard_t(3, (s, n)),
    }
    return draws[name]


def _lengths(name: str, generator: np.random.Generator, sets: int, documents: int) -> np.ndarray:
    """Tokens of each document: 5 to 40 alike, lognormal of mean 20 and σ 0.8, or one."""
    if name == "one":
        return np.ones((sets, documents), np.int64)
    if name == "5 to 40":
        return generator.integers(5, 41, (sets, documents))
    return np.ceil(_LONG * generator.lognormal(0, _SIGMA, (sets, documents))).astype(np.int64)


_SIGMA = 0.8
_LONG = 20 * math.exp(-(_SIGMA**2) / 2)


def _moment(lengths: str, power: float) -> float:
    """The mean of length^power, exactly: of lognormal lengths, which are rounded up, summed."""
    if lengths == "5 to 40":
        return float(np.mean(np.arange(5, 41.0) ** power))
    whole = np.arange(0, 20_000)
    below = special.ndtr(np.log(np.maximum(whole, 1e-300) / _LONG) / _SIGMA)
    return float((np.diff(below) * whole[1:].astype(float) ** power).sum())


def _grouped(generator: np.random.Generator, documents: int) -> np.ndarray:
    """Rows by group of documents whose ids nobody had before."""
    salt = int(generator.integers(2**62))
    return group_rows([f"{salt} {one}" for one in range(documents)], 0)


def _of_ratio(rows: np.ndarray, total: np.ndarray, count: np.ndarray) -> Drawn:
    with np.errstate(divide="ignore", invalid="ignore"):
        values = replicated(rows @ total.T) / replicated(rows @ count.T)
    return *ends(values, total.shape[1]), np.full(len(total), total.shape[1])


def _mean(distribution: str) -> World:
    draw = _distribution(distribution)

    def sets(generator: np.random.Generator, count: int, documents: int) -> Drawn:
        x = draw(generator, count, documents)
        return _of_ratio(_grouped(generator, documents), x, np.ones_like(x))

    return World("means, one number a document", distribution, 1.0, sets)


def _ratio(distribution: str, lengths: str, rising: bool) -> World:
    """Documents' means of a distribution, times √length where `rising`; tokens scatter by 1."""
    draw = _distribution(distribution)
    truth = _moment(lengths, 1.5) / _moment(lengths, 1) / math.sqrt(20) if rising else 1.0

    def sets(generator: np.random.Generator, count: int, documents: int) -> Drawn:
        n = _lengths(lengths, generator, count, documents).astype(float)
        means = draw(generator, count, documents) * (np.sqrt(n / 20) if rising else 1)
        total = means * n + generator.normal(size=n.shape) * np.sqrt(n)
        return _of_ratio(_grouped(generator, documents), total, n)

    more = ", rising with length" if rising else ""
    return World("ratios of sums", f"{distribution}{more}; lengths {lengths}", truth, sets)


def _sides(yes: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Of each set, the documents with a yes or those with a no, whichever are fewer."""
    return np.minimum((yes > 0).sum(1), (yes < n).sum(1))


def _chances(
    generator: np.random.Generator, share: float, alike: float, shape: tuple[int, int]
) -> np.ndarray:
    """Chances of a yes in each document, so that two tokens of one correlate by `alike`."""
    more = (1 - alike) / alike
    return generator.beta(share * more, (1 - share) * more, shape)


def _share(share: float, alike: float) -> World:
    def sets(generator: np.random.Generator, count: int, documents: int) -> Drawn:
        n = _lengths("5 to 40", generator, count, documents)
        yes = generator.binomial(n, _chances(generator, share, alike, n.shape))
        low, high, _ = _of_ratio(_grouped(generator, documents), yes.astype(float), n.astype(float))
        return low, high, _sides(yes, n)

    return World("shares of tokens", f"{share:g}, alike {alike:g}", share, sets)


def _verdicts(share: float, alike: float) -> World:
    def sets(generator: np.random.Generator, count: int, documents: int) -> Drawn:
        n = generator.integers(1, 6, (count, documents))
        yes = generator.binomial(n, _chances(generator, share, alike, n.shape))
        found = [
            clustered_wilson(one, trials)[0] for one, trials in zip(yes * 1.0, n * 1.0, strict=True)
        ]
        low, high = np.array(found).T
        return low, high, _sides(yes, n)

    name = f"{share:g}, alike {alike:g}"
    return World("rates of verdicts, 1 to 5 a prompt (Wilson's)", name, share, sets)


def _median(distribution: str, lengths: str, alike: float) -> World:
    """Tokens of documents that share a part of their place in the distribution."""

    def quantile(place: np.ndarray) -> np.ndarray:
        return special.ndtri(place) if distribution == "normal" else -np.log1p(-place)

    def sets(generator: np.random.Generator, count: int, documents: int) -> Drawn:
        n = _lengths(lengths, generator, count, documents)
        size = int(n.sum())
        owner = np.repeat(np.arange(n.size), n.ravel())
        shared = generator.normal(0, math.sqrt(alike), n.size)[owner]
        place = special.ndtr(shared + generator.normal(0, math.sqrt(1 - alike), size))
        bins = np.minimum((place * BINS).astype(np.int64), BINS - 1)
        counts = np.bincount(owner * BINS + bins, minlength=n.size * BINS)
        by_document = counts.reshape(count, documents, BINS).swapaxes(0, 1).astype(float)
        rows = _grouped(generator, documents)
        sums = replicated((rows @ by_document.reshape(documents, -1)).reshape(-1, count, BINS))
        middle = np.clip(_middle(sums) / BINS, 1e-9, 1 - 1e-9)
        return *ends(quantile(middle), documents), np.full(count, documents)

    name = f"{distribution}, alike {alike:g}; lengths {lengths}"
    return World("medians of tokens", name, float(quantile(np.array(0.5))), sets)


def _middle(histogram: np.ndarray) -> np.ndarray:
    """The place of the median in a histogram, bins filled evenly; NaN where it is empty."""
    below = histogram.cumsum(-1)
    wanted = below[..., -1:] / 2
    at = np.minimum((below < wanted - 1e-9).sum(-1), BINS - 1)[..., None]
    inside = np.take_along_axis(histogram, at, -1)
    before = np.take_along_axis(below, at, -1) - inside
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = (at + (wanted - before) / inside)[..., 0]
    return found


_SHAPES = ("normal", "exponential", "lognormal")
WORLDS = (
    *(_mean(one) for one in (*_SHAPES, "Student's t, 3 degrees")),
    *(_ratio(one, lengths, False) for lengths in ("5 to 40", "lognormal") for one in _SHAPES),
    *(_ratio("exponential", lengths, True) for lengths in ("5 to 40", "lognormal")),
    *(_share(p, alike) for alike in (0.1, 0.3) for p in (0.02, 0.1, 0.5, 0.9, 0.98)),
    *(_verdicts(p, 0.5) for p in (0.02, 0.1, 0.5, 0.9, 0.98)),
    *(_median(one, "5 to 40", 0.3) for one in ("normal", "exponential")),
    _median("normal", "lognormal", 0.8),
    _median("normal", "one", 0.5),
)
"""The rows of the table."""
