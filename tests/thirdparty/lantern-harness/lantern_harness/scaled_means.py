"""Difference in means, each dimension over its variance."""

from __future__ import annotations

import numpy as np

from harness.contract import (
    Batch,
    Direction,
    Found,
    Inputs,
    Outcome,
    State,
    Undefined,
    parse_site,
)
from lantern_harness.options import ScaledMeansOptions


class ScaledMeans:
    """`v = (μ⁺ − μ⁻) / (σ² + floor)`, σ² the variance within both sets: Float64 `[1, d]`.

    Linear discriminant analysis with a diagonal covariance. Undefined without a prompt in either
    set, and where both means are equal.
    """

    def __init__(self, options: ScaledMeansOptions) -> None:
        self.options, self.site = options, parse_site(options.site)

    def start(self, inputs: Inputs) -> State:
        """Nothing was read."""
        return {}

    def update(self, state: State, batch: Batch) -> State:
        """Adds count, sum and sum of squares of the batch's set."""
        x = batch.left.x(self.site)[batch.selected].double().cpu().numpy()
        if not len(x):
            return state
        terms = {"n": np.array([len(x)]), "sum": x.sum(0), "square": (x**2).sum(0)}
        return self.merge(state, {f"{batch.stream}.{name}": one for name, one in terms.items()})

    def merge(self, left: State, right: State) -> State:
        """Sums add up."""
        both = {name: left[name] + right[name] for name in left.keys() & right.keys()}
        return {**left, **right, **both}

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One direction."""
        for name in ("positive", "negative"):
            if f"{name}.n" not in state:
                return _nothing(f"no prompt of the {name} data has a token to measure")
        n, total, square = (
            [state[f"{name}.{what}"] for name in ("positive", "negative")]
            for what in ("n", "sum", "square")
        )
        means = [one / count for one, count in zip(total, n, strict=True)]
        within = sum(
            s - count * mean**2 for s, count, mean in zip(square, n, means, strict=True)
        ) / (n[0] + n[1])
        vector = (means[0] - means[1]) / (np.maximum(within, 0) + self.options.floor)
        if not vector.any():
            return _nothing("the means of both sets are equal")
        direction = Direction(self.site, vector[None], origin=means[1])
        return Outcome(directions=(Found(direction),))


def _nothing(why: str) -> Outcome:
    return Outcome(directions=(Found(Undefined(why)),))
