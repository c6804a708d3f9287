"""Logistic regression with a ridge, exact to rounding, and how well scores tell two classes apart.

Nothing here draws anything: the same numbers give the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from scipy import linalg, special

Z = 1.959963984540054
"""The 97.5% point of the normal distribution."""
_STEPS = 100
_SMALL = 1e-14
"""Twice what a step can still gain, of a loss of at most log 2."""


@dataclass(frozen=True)
class Rows:
    """Samples in coordinates of the space that they span: as few as there are samples."""

    inside: Float64[np.ndarray, "n rank"]
    """Centred and divided by `scale`."""
    basis: Float64[np.ndarray, "rank d"]
    mean: Float64[np.ndarray, " d"]
    scale: float
    """The root mean square of what is centred, over samples and dimensions; 1 where that is 0."""


def rows_of(x: Float64[np.ndarray, "n d"]) -> Rows:
    """The samples, turned into their own span: a ridge does not see rotations."""
    mean = x.mean(0)
    centred = x - mean
    scale = float(np.sqrt(np.square(centred).mean())) or 1.0
    left, sizes, basis = np.linalg.svd(centred / scale, full_matrices=False)
    kept = sizes > 1e-12 * sizes[0] if len(sizes) else np.zeros(0, bool)
    return Rows(left[:, kept] * sizes[kept], basis[kept], mean, scale)


def fit(
    inside: Float64[np.ndarray, "n rank"], positive: np.ndarray, ridge: float
) -> tuple[Float64[np.ndarray, " rank"], float]:
    """β and the intercept c that minimise, with y = ±1 and n_y samples of each class,

    Σ_i log(1 + exp(−y_i (x_i·β + c))) / (2 n_{y_i}) + ridge/2·‖β‖²

    by Newton's method. Both classes count the same, whatever their sizes; there must be a sample
    of each. Raises RuntimeError where it does not converge.
    """
    y = np.where(positive, 1.0, -1.0)
    weight = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    design = np.column_stack([inside, np.ones(len(inside))])
    penalty = np.full(design.shape[1], ridge)
    penalty[-1] = 0.0

    def loss(theta: Float64[np.ndarray, " p"]) -> float:
        margin = y * (design @ theta)
        return float(weight @ np.logaddexp(0, -margin) + penalty @ theta**2 / 2)

    theta = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        wrong = special.expit(-y * (design @ theta))
        gradient = penalty * theta - design.T @ (weight * y * wrong)
        curved = design.T * (weight * wrong * (1 - wrong)) @ design + np.diag(penalty)
        # Where every sample is far on its side, the intercept's own curvature is rounding.
        curved[-1, -1] += 1e-15
        step = linalg.solve(curved, gradient, assume_a="pos")
        slope = float(gradient @ step)
        if slope <= _SMALL:  # the next step would square it
            theta = theta - step
            return theta[:-1], float(theta[-1])
        theta = theta - _shortened(loss, theta, step, slope) * step
    raise RuntimeError(f"no minimum after {_STEPS} steps of Newton's method")


def _shortened(
    loss: Callable[[Float64[np.ndarray, " p"]], float],
    theta: Float64[np.ndarray, " p"],
    step: Float64[np.ndarray, " p"],
    slope: float,
) -> float:
    """How much of a step to go so that the loss falls enough: halved as often as needed."""
    part, now = 1.0, loss(theta)
    while loss(theta - part * step) > now - 1e-4 * part * slope:
        part /= 2
        if part < 1e-12:
            raise RuntimeError("the loss does not fall along Newton's step")
    return part


def accuracy(scores: Float[np.ndarray, " n"], positive: np.ndarray) -> tuple[int, int]:
    """How many are on their side of 0, and how many there are; 0 itself is negative."""
    return int(((scores > 0) == positive).sum()), len(scores)


def auc(scores: Float[np.ndarray, " n"], positive: np.ndarray) -> float:
    """The share of pairs in which the positive one scores higher, ties half (Mann and Whitney)."""
    high, low = scores[positive], np.sort(scores[~positive])
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.sum() / 2 / (len(high) * len(low)))


def auc_interval(area: float, positive: int, negative: int) -> tuple[float, float]:
    """The 95% interval of an AUC of so many samples, which has a width at 0 and 1, too.

    Its ends θ solve (θ − AUC)² = z²·V(θ), V(θ) = θ(1−θ)(1 + N(1−θ)/(2−θ) + Nθ/(1+θ)) / (mn),
    N = (m + n)/2 − 1. Source: Newcombe 2006, "Confidence intervals for an effect size measure
    based on the Mann–Whitney statistic", part 2, method 5.
    """
    half = (positive + negative) / 2 - 1

    def inside(theta: float) -> bool:
        spread = theta * (1 - theta)
        spread *= 1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)
        return (theta - area) ** 2 <= Z**2 * spread / (positive * negative)

    return _end(inside, area, 0.0), _end(inside, area, 1.0)


def _end(inside: Callable[[float], bool], near: float, far: float) -> float:
    """Where an interval that holds what lies beside `near` ends on the way to `far`."""
    if near == far:
        return far
    for _ in range(80):
        middle = (near + far) / 2
        if inside(middle):
            near = middle
        else:
            far = middle
        if math.isclose(near, far, rel_tol=1e-15):
            break
    return far
