"""How far two runs are apart in one score, and how sure that is.

Where both judged the same prompts, the prompts are the pairs: what makes one hard in one run makes
it hard in the other, so the difference is known better than either value. A prompt is a cluster,
drawn whole, however often it was judged. Differences are always the second minus the first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harness.results.binomial import at_most
from harness.results.intervals import Z, wilson
from harness.results.numbers import MIN_CLUSTERS, MIN_UNLIKE
from harness.results.replicates import interval, replicate_weights

Interval = tuple[float, float]
PromptScores = Mapping[str, Sequence[float]]
"""The scores of every prompt that was judged, by its id; several where it was judged repeatedly."""


@dataclass(frozen=True)
class Difference:
    """The second value minus the first; `value` is None exactly when `undefined` says why."""

    value: float | None = None
    undefined: str | None = None
    ci: Interval | None = None
    """A 95% interval; where there is none, `ci_why` says why."""
    ci_why: str | None = None
    method: str | None = None
    """How the interval was made."""
    p: float | None = None
    """McNemar's exact test that as many prompts change one way as the other, two-sided."""
    p_why: str | None = None
    """Why there is no such test."""
    paired: bool = False
    prompts: int | None = None
    """The prompts behind a paired difference: those that both runs judged."""
    rose: int | None = None
    """Prompts whose score is higher in the second."""
    fell: int | None = None
    first: float | None = None
    """The first value over the prompts that both judged, where some were judged by one alone."""
    second: float | None = None
    """The second value over them."""
    note: str | None = None


def paired_difference(
    first: PromptScores, second: PromptScores, *, yes_no: bool, seed: int = 0
) -> Difference:
    """The difference over the prompts that both judged, which must be one at least.

    Its interval is that of `replicates.interval`, by prompts. With fewer than 20 prompts, or fewer
    than ten that changed, or changed otherwise than all others, a few integers are all it is made
    of, and it would leave out the truth too often (with none, it would say that the difference is
    exactly 0, or exactly 1): yes and no then get Tango's score interval, and other scores none.
    """
    ids = first.keys() & second.keys()
    one, two = _judged(first, ids), _judged(second, ids)
    by_prompt = two.total / two.count - one.total / one.count
    rose, fell = int((by_prompt > 0).sum()), int((by_prompt < 0).sum())
    once = one.once and two.once
    unlike = _unlike_most(by_prompt)
    ci, method, ci_why = None, None, None
    if unlike >= MIN_UNLIKE and len(ids) >= MIN_CLUSTERS:
        weights = replicate_weights(one.ids, seed)
        ci, ci_why = interval(two.means(weights) - one.means(weights), len(ids), "prompts")
        method = "interval over shared prompts"
    elif yes_no and once:
        ci, method = tango(rose, fell, len(ids)), "Tango's score interval for pairs"
    elif len(ids) < MIN_CLUSTERS:
        ci_why = f"shared prompts: {len(ids)}; an interval needs {MIN_CLUSTERS}"
    elif rose + fell < MIN_UNLIKE:
        ci_why = f"changed prompts: {rose + fell}; an interval needs {MIN_UNLIKE}"
    else:
        ci_why = f"prompts that changed unlike most: {unlike}; an interval needs {MIN_UNLIKE}"
    p, p_why = None, None
    if not yes_no:
        p_why = "McNemar's test is for yes and no"
    elif not once:
        p_why = "prompts were judged more than once, McNemar's test takes each as independent"
    else:
        p = mcnemar(rose, fell)
    return Difference(
        two.mean - one.mean, None, ci, ci_why, method, p, p_why,
        paired=True, prompts=len(ids), rose=rose, fell=fell,
    )  # fmt: skip


def paired_ratio(
    top: PromptScores, bottom: PromptScores, seed: int = 0
) -> tuple[Interval | None, str | None]:
    """The 95% interval of `top / bottom` over the prompts that both judged, or why there is none.

    That of `replicates.interval` by prompts, which needs 20, and ten on either side that are not
    like most: where nearly all are alike, a few integers would be all it is made of.
    """
    ids = top.keys() & bottom.keys()
    one, two = _judged(top, ids), _judged(bottom, ids)
    apart = min(_unlike_most(side.total / side.count) for side in (one, two))
    if apart < MIN_UNLIKE:
        return None, f"prompts unlike most: {apart}; an interval needs {MIN_UNLIKE}"
    weights = replicate_weights(one.ids, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = one.means(weights) / two.means(weights)
    return interval(ratios, len(ids), "prompts")


def shared_values(first: PromptScores, second: PromptScores) -> tuple[float, float]:
    """Both values over the prompts that both judged, which must be one at least."""
    ids = first.keys() & second.keys()
    return _judged(first, ids).mean, _judged(second, ids).mean


def unpaired_difference(
    first: PromptScores, second: PromptScores, *, yes_no: bool, seed: int = 0
) -> Difference:
    """The difference between scores of different prompts; both must hold one at least.

    Its interval is Newcombe's for yes and no, else `replicates.interval` by the prompts of both.
    """
    one, two = _judged(first, first), _judged(second, second)
    few = min(len(one.ids), len(two.ids))
    ci, method, ci_why = None, None, None
    if yes_no and one.once and two.once:
        ci, method = newcombe(one.rate, two.rate), "Newcombe's interval"
    elif few < MIN_CLUSTERS:
        ci_why = f"prompts: {few}; an interval needs {MIN_CLUSTERS}"
    else:
        # Those of both sides are different prompts, whatever their ids; it is the same interval,
        # turned around, whichever side comes first.
        sides = sorted((one, two), key=lambda side: (side.ids, side.total.tolist()))
        ids = [f"{number} {i}" for number, side in enumerate(sides) for i in side.ids]
        weights = replicate_weights(ids, seed)
        cut = len(sides[0].ids)
        apart = sides[1].means(weights[:, cut:]) - sides[0].means(weights[:, :cut])
        ci, ci_why = interval(apart if sides[1] is two else -apart, len(ids), "prompts")
        method = "interval over the prompts of each run"
    why = "the runs share no prompt"
    return Difference(two.mean - one.mean, None, ci, ci_why, method, p_why=why)


@dataclass(frozen=True)
class _Judged:
    """Some prompts, and of each the sum and the number of its scores."""

    ids: tuple[str, ...]
    total: Float[np.ndarray, " prompts"]
    count: Float[np.ndarray, " prompts"]

    @property
    def once(self) -> bool:
        """Whether every prompt was judged once."""
        return bool((self.count == 1).all())

    @property
    def mean(self) -> float:
        """The mean of all scores."""
        return math.fsum(self.total) / math.fsum(self.count)

    @property
    def rate(self) -> tuple[int, int]:
        """Successes and prompts, where every prompt has one yes or no."""
        return round(float(self.total.sum())), len(self.ids)

    def means(
        self, weights: Float[np.ndarray, "replicates prompts"]
    ) -> Float[np.ndarray, " replicates"]:
        """The mean in each replicate of the prompts; NaN in one without any."""
        with np.errstate(divide="ignore", invalid="ignore"):
            means: np.ndarray = weights @ self.total / (weights @ self.count)
        return means


def _judged(scores: PromptScores, ids: Iterable[str]) -> _Judged:
    """The scores of these prompts, in the order of their ids."""
    ordered = tuple(sorted(ids))
    total = np.array([math.fsum(scores[i]) for i in ordered])
    return _Judged(ordered, total, np.array([len(scores[i]) for i in ordered], dtype=np.float64))


def _unlike_most(by_prompt: Float[np.ndarray, " prompts"]) -> int:
    """How many prompts have another number than the most frequent one."""
    counts = np.unique(by_prompt, return_counts=True)[1]
    return int(counts.sum() - counts.max())


def mcnemar(rose: int, fell: int) -> float:
    """The exact two-sided p of McNemar's test: binomial on the prompts that changed.

    1 where none did: nothing then speaks against equal runs. Source: Q. McNemar, 1947.
    """
    changed = rose + fell
    return min(1.0, 2 * at_most(min(rose, fell), changed, 0.5)) if changed else 1.0


def newcombe(first: tuple[int, int], second: tuple[int, int]) -> Interval:
    """The 95% interval of the difference of two independent rates (successes, n).

    With p₁ ∈ [l₁, u₁] and p₂ ∈ [l₂, u₂] by Wilson and d = p₂ − p₁: from
    `d − √((p₂ − l₂)² + (u₁ − p₁)²)` to `d + √((u₂ − p₂)² + (p₁ − l₁)²)`.
    Source: R. G. Newcombe, 1998, independent proportions, method 10.
    """
    (k1, n1), (k2, n2) = first, second
    p1, p2 = k1 / n1, k2 / n2
    (l1, u1), (l2, u2) = wilson(k1, n1), wilson(k2, n2)
    difference = p2 - p1
    return difference - math.hypot(p2 - l2, u1 - p1), difference + math.hypot(u2 - p2, p1 - l1)


def tango(rose: int, fell: int, n: int) -> Interval:
    """The 95% score interval of the difference of two rates on the same n prompts.

    Holds every Δ that the score test does not reject: `|rose − fell − nΔ| ≤ z √(n(2q + Δ(1 − Δ)))`
    with q the most likely share of prompts that fell, given Δ. ±z²/(n + z²) where none changed.
    Source: T. Tango, 1998.
    """
    return _tango_low(rose, fell, n), -_tango_low(fell, rose, n)


def _tango_low(rose: int, fell: int, n: int) -> float:
    """The smallest Δ that the test accepts, by halving: the statistic falls as Δ grows."""
    low, high = -1.0, (rose - fell) / n
    for _ in range(60):
        middle = (low + high) / 2
        excess = rose - fell - n * middle
        b = -rose - fell + (2 * n - rose + fell) * middle
        root = math.sqrt(max(0.0, b * b + 8 * n * fell * middle * (1 - middle)))
        variance = n * ((root - b) / (2 * n) + middle * (1 - middle))
        if excess > Z * math.sqrt(max(0.0, variance)):
            low = middle
        else:
            high = middle
    return high
