"""Excess kurtosis of activations."""

from __future__ import annotations

import numpy as np

from harness.contract import Batch, Inputs, Outcome, Record, State, parse_site
from lantern_harness.options import TailsOptions


class Tails:
    """`κ_i = m4_i / m2_i² − 3` of each dimension i over the selected tokens; central moments.

    Record `tails.median@1`: the median over dimensions with a variance, from −2. Array `kurtosis`:
    Float64 `[d]`, NaN where there is no variance. Undefined without tokens or variance.
    """

    def __init__(self, options: TailsOptions) -> None:
        self.options, self.site = options, parse_site(options.site)

    def start(self, inputs: Inputs) -> State:
        """Nothing was read."""
        return {"n": np.zeros(1, np.int64)}

    def update(self, state: State, batch: Batch) -> State:
        """Adds the sums of the first four powers."""
        x = batch.left.x(self.site)[batch.selected].double().cpu().numpy()
        powers = np.stack([(x**power).sum(0) for power in (1, 2, 3, 4)])
        return self.merge(state, {"n": np.array([len(x)]), "powers": powers})

    def merge(self, left: State, right: State) -> State:
        """Sums add up."""
        both = {name: left[name] + right[name] for name in left.keys() & right.keys()}
        return {**left, **right, **both}

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The median, and all of them."""
        n = int(state["n"][0])
        kurtosis = np.zeros(0)
        if n:
            one, two, three, four = state["powers"] / n
            m2 = two - one**2
            m4 = four - 4 * three * one + 6 * two * one**2 - 3 * one**4
            flat = m2 <= 1e-12 * np.maximum(two, 1e-300)
            kurtosis = np.where(flat, np.nan, m4 / np.where(flat, 1, m2) ** 2 - 3)
        known = kurtosis[~np.isnan(kurtosis)]
        record = Record(
            "tails.median@1",
            float(np.median(known)) if len(known) else None,
            n,
            "tokens",
            "kurtosis",
            ci_why="the dimensions of one site are no sample",
            undefined=None if len(known) else "no token was measured, or nothing varies",
            axes={"view": self.options.view, "data": self.options.data, "site": str(self.site)},
        )
        return Outcome((record,), arrays={"kurtosis": kurtosis})
