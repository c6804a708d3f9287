"""Whether an arm does as its control does: tests over prompts that all of them answered.

The question is whether the arm could be one more draw of the control. Then, prompt by prompt, its
score is any of those at hand, and its mean is no further from the means of the draws than these are
from each other. Both are tested, and the larger p counts: the first errs where draws differ, the
second where so few of them happen to agree that they seem to be all alike.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special

from harness.results.binomial import chances
from harness.results.paired import PromptScores

PERMUTED = 9_999
"""Random exchanges of scores that are neither 0 nor 1."""
TINY = float(np.finfo(np.float64).tiny)
"""The smallest p that is told: what is below it is no number of a computer any more."""
_PIECE = 2**22
_ROUNDING = 1e-12
Matrix = Float[np.ndarray, "prompts arms"]
"""A score for each prompt and arm; the arm that is asked about is the first column."""


@dataclass(frozen=True)
class Tested:
    """The p of one arm, two-sided."""

    p: float
    """In (0, 1]."""
    least: float
    """The smallest p that so many prompts, or draws, could have come to."""
    prompts: int
    method: str
    """How p was made, in words."""


def matched(arm: PromptScores, controls: Sequence[PromptScores]) -> Tested | str:
    """The p that an arm does as one more draw of its control does, or why there is none.

    `controls` are the draws of the control: one where it has no draws. Prompts that one of them did
    not judge are left out; of several scores of a prompt (copies of it) the mean counts.

    - One control, yes or no: McNemar's exact test.
    - Several: of each prompt's scores any could be the arm's. So the number of prompts in which the
      arm says yes is a sum of independent yes and no, with the share of yes among the prompt's
      scores as chance (1:K matched sets). Two-sided: twice the smaller tail.
    - Other scores: the same with `PERMUTED` random exchanges, p = (1 + as far off) / (1 + all).
    - Where there are several draws, the p of `one_more_draw`, if it is larger.

    Source: Q. McNemar, 1947; N. Mantel and W. Haenszel, 1959, for matched sets.
    """
    ids = sorted(set(arm).intersection(*controls))
    if not ids or not controls:
        return "no prompt was judged in the arm and in its control"
    columns = [[math.fsum(of[one]) / len(of[one]) for one in ids] for of in (arm, *controls)]
    scores: Matrix = np.array(columns).T
    if np.isin(scores, (0.0, 1.0)).all():
        p, least = exact_p(scores), min(1.0, max(TINY, 2.0 * scores.shape[1] ** -len(ids)))
        how = "McNemar's exact test" if len(controls) == 1 else "exact test of matched sets"
    else:
        p, least = exchanged_p(scores, "\0".join(ids)), 1 / (1 + PERMUTED)
        how = f"{PERMUTED:,} random exchanges between arm and control, prompt by prompt"
    if len(controls) > 1:
        p = max(p, one_more_draw(scores.mean(0)))
        how += f", and Crawford and Howell's t of one more draw beside {len(controls)}: larger p"
    return Tested(max(p, TINY), least, len(ids), f"{how}, two-sided")


def exact_p(scores: Matrix) -> float:
    """Twice the smaller tail of the number of yes in the first column, where each row's scores
    could stand in any order; at most 1."""
    arms = scores.shape[1]
    yes = scores.sum(1).round().astype(int)
    chance = np.ones(1)
    for count in range(1, arms):
        sets = int((yes == count).sum())
        if sets:
            chance = np.convolve(chance, chances(sets, count / arms))
    # Rows whose scores are all alike say nothing of the order.
    found = round(float(scores[(yes > 0) & (yes < arms), 0].sum()))
    tail = min(math.fsum(chance[: found + 1]), math.fsum(chance[found:]))
    return min(1.0, 2 * tail)


def exchanged_p(scores: Matrix, key: str) -> float:
    """How often the sum of a random score of each row is as far from its expectation as that of the
    first column: (1 + draws) / (1 + all draws). What is drawn hangs on `key` alone."""
    rows, arms = scores.shape
    expected = math.fsum(scores.mean(1))
    limit = abs(math.fsum(scores[:, 0]) - expected) - _ROUNDING * float(np.abs(scores).sum())
    generator = np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))
    step, as_far = max(1, _PIECE // rows), 0
    for start in range(0, PERMUTED, step):
        chosen = generator.integers(arms, size=(min(step, PERMUTED - start), rows))
        drawn = scores[np.arange(rows), chosen].sum(1)
        as_far += int((np.abs(drawn - expected) >= limit).sum())
    return (1 + as_far) / (1 + PERMUTED)


def one_more_draw(means: Float[np.ndarray, " arms"]) -> float:
    """Two-sided p that the first value is drawn like all others, which are taken as normal.

    t = (x − m) / (s √(1 + 1/K)) with K − 1 degrees of freedom; m, s: mean and standard deviation of
    the other K, at least 2. Where these are all alike it has nothing to say: 1 for the same value,
    `TINY` for another. Source: J. R. Crawford and D. C. Howell, 1998.
    """
    value, others = float(means[0]), means[1:]
    apart = value - float(others.mean())
    spread = float(others.std(ddof=1)) * math.sqrt(1 + 1 / len(others))
    if spread <= _ROUNDING * float(np.abs(means).max(initial=0.0)):
        return TINY if abs(apart) > _ROUNDING else 1.0
    return float(2 * special.stdtr(len(others) - 1, -abs(apart) / spread))
