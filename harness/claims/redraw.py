"""What numbers would come out as, and with which intervals, if they were measured again.

Each model says how a number varies where its truth is what was observed, at `factor` times as many
prompts. From these follows how many prompts would decide a claim.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float
from scipy import special

from harness.results.intervals import Z
from harness.results.numbers import MIN_CLUSTERS, MIN_UNLIKE

Draws = Float[np.ndarray, " draws"]
LARGER = 1.025
"""How much wider `replicates.interval` is on average than of one error: the larger of two
counts."""


@dataclass(frozen=True)
class Redrawn:
    """Values of repeated measurements, and both ends of their 95% intervals."""

    value: Draws
    low: Draws
    high: Draws


class Model(Protocol):
    """How a number and its interval would vary."""

    def redraw(self, factor: float, generator: np.random.Generator, draws: int) -> Redrawn:
        """Measures it again, `draws` times, on `factor` times as many prompts."""


@dataclass(frozen=True)
class Rate:
    """A rate of independent yes and no, with Wilson's interval."""

    successes: int
    n: int

    def redraw(self, factor: float, generator: np.random.Generator, draws: int) -> Redrawn:
        """Binomial draws."""
        n = max(1, round(self.n * factor))
        p = generator.binomial(n, self.successes / self.n, draws) / n
        square = Z**2
        centre = (p + square / (2 * n)) / (1 + square / n)
        half = Z * np.sqrt(p * (1 - p) / n + square / (4 * n * n)) / (1 + square / n)
        return Redrawn(
            p, np.where(p == 0, 0.0, centre - half), np.where(p == 1, 1.0, centre + half)
        )


@dataclass(frozen=True)
class Mean:
    """A number whose interval shrinks with the root of the number of independent examples."""

    value: float
    low: float
    high: float
    size: int
    """Independent examples: documents, prompts."""

    def redraw(self, factor: float, generator: np.random.Generator, draws: int) -> Redrawn:
        """Normal draws; each side of the interval keeps its part of the width."""
        below, above = self.value - self.low, self.high - self.value
        size = max(2.0, self.size * factor)
        shrunk = math.sqrt(self.size / size)
        error = (below + above) / 2 / _reach(self.size) * shrunk
        value = self.value + error * generator.standard_normal(draws)
        scale = shrunk * _reach(size) / _reach(self.size)
        return Redrawn(value, value - below * scale, value + above * scale)


@dataclass(frozen=True)
class Pairs:
    """The difference of yes and no on the same prompts: Tango's interval where nearly all prompts
    change alike or there are few, else that of `replicates.interval`."""

    rose: int
    fell: int
    n: int

    def redraw(self, factor: float, generator: np.random.Generator, draws: int) -> Redrawn:
        """Multinomial draws of the prompts that rose, fell and stayed."""
        n = max(1, round(self.n * factor))
        shares = [self.rose / self.n, self.fell / self.n]
        counts = generator.multinomial(n, [*shares, max(0.0, 1 - sum(shares))], draws)
        rose, fell = counts[:, 0].astype(np.float64), counts[:, 1].astype(np.float64)
        value = (rose - fell) / n
        error = np.sqrt(np.maximum(0.0, (rose + fell) / n - value**2) / n)
        half = LARGER * _reach(n) * error
        low, high = value - half, value + half
        unlike = n - np.maximum(np.maximum(rose, fell), n - rose - fell)
        few = (unlike < MIN_UNLIKE) | (n < MIN_CLUSTERS)
        low[few] = _tango_low(rose[few], fell[few], n)
        high[few] = -_tango_low(fell[few], rose[few], n)
        return Redrawn(value, low, high)


@dataclass(frozen=True)
class Widened:
    """A number with an error beside that of its prompts, which further prompts leave as it is."""

    inner: Model
    half: float
    """Half of the width of the 95% interval of that error."""

    def redraw(self, factor: float, generator: np.random.Generator, draws: int) -> Redrawn:
        """Both errors, and the interval of both."""
        found = self.inner.redraw(factor, generator, draws)
        below = np.hypot(found.value - found.low, self.half)
        above = np.hypot(found.high - found.value, self.half)
        # The draws of a control stay those that they are, however many prompts there are.
        return Redrawn(found.value, found.value - below, found.value + above)


@dataclass(frozen=True)
class Joined:
    """A difference or a ratio of two independent numbers, by MOVER; see `harness.results.mover`."""

    left: Model
    right: Model
    join: Literal["-", "/"]

    def redraw(self, factor: float, generator: np.random.Generator, draws: int) -> Redrawn:
        """Both sides drawn apart."""
        one = self.left.redraw(factor, generator, draws)
        two = self.right.redraw(factor, generator, draws)
        if self.join == "-":
            value = one.value - two.value
            below = np.hypot(one.value - one.low, two.high - two.value)
            above = np.hypot(one.high - one.value, two.value - two.low)
            return Redrawn(value, value - below, value + above)
        from harness.results.mover import mover_ratio

        sides = zip(one.value, one.low, one.high, two.value, two.low, two.high, strict=True)
        found = [mover_ratio(a, (b, c), d, (e, f))[0] for a, b, c, d, e, f in sides]
        ends = np.array([(-np.inf, np.inf) if ci is None else ci for ci in found])
        with np.errstate(divide="ignore", invalid="ignore"):
            return Redrawn(one.value / two.value, ends[:, 0], ends[:, 1])


def _reach(size: float) -> float:
    """Half the width of a 95% interval in standard errors, where nothing is skewed."""
    if size < 2:
        return math.inf
    return float(special.stdtrit(size - 1, 0.975) * math.sqrt(size / (size - 1)))


def _tango_low(rose: Draws, fell: Draws, n: int) -> Draws:
    """`harness.results.paired.tango` for many counts at once, each pair of them but once."""
    pairs, places = np.unique(rose * (n + 1) + fell, return_inverse=True)
    rose, fell = np.divmod(pairs, n + 1)
    low: Draws = np.full(len(rose), -1.0)
    high: Draws = (rose - fell) / n
    for _ in range(40):
        middle = (low + high) / 2
        excess = rose - fell - n * middle
        b = -rose - fell + (2 * n - rose + fell) * middle
        root = np.sqrt(np.maximum(0.0, b * b + 8 * n * fell * middle * (1 - middle)))
        variance = n * ((root - b) / (2 * n) + middle * (1 - middle))
        outside = excess > Z * np.sqrt(np.maximum(0.0, variance))
        low, high = np.where(outside, middle, low), np.where(outside, high, middle)
    return high[places]
