"""A statistic that keeps the largest activation: the twin, and one that merges by place."""

from __future__ import annotations

import numpy as np

from harness.contract import Batch, Inputs, Outcome, Record, State, parse_site
from seeded_bugs.options import SumsOptions


class Peak:
    """The largest number of the selected tokens. Undefined without a token."""

    def __init__(self, options: SumsOptions) -> None:
        self.site = parse_site(options.site)

    def start(self, inputs: Inputs) -> State:
        return {"tokens": np.zeros(1, np.int64), "peak": np.full(1, -np.inf)}

    def update(self, state: State, batch: Batch) -> State:
        x = batch.left.x(self.site)[batch.selected].double().numpy()
        peak = np.full(1, x.max(initial=-np.inf))
        return Peak.merge(self, state, {"tokens": np.array([len(x)]), "peak": peak})

    def merge(self, left: State, right: State) -> State:
        tokens = left["tokens"] + right["tokens"]
        return {"tokens": tokens, "peak": np.maximum(left["peak"], right["peak"])}

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        n = int(state["tokens"][0])
        why = None if n else "no token was measured"
        value = float(state["peak"][0]) if n else None
        return Outcome(
            (Record("peak@1", value, n, "tokens", "x", ci_why=why or "-", undefined=why),)
        )


class MergeOrder(Peak):
    """The bug: of two states that have read something, the left one's peak is kept."""

    def merge(self, left: State, right: State) -> State:
        both = super().merge(left, right)
        return {**both, "peak": left["peak"] if left["tokens"][0] else right["peak"]}
