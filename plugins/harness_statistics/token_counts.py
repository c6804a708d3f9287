"""Which tokens some data are made of: how often each of them is there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.contract import Batch, Inputs, Outcome, State
from harness_statistics.options import TokenCountsOptions as Options


class TokenCounts:
    """Counts the ids of all tokens that passed the stream's filters; reads no activation.

    Arrays, no records: `ids` (Int64 `[kinds]`, ascending, each once) and `counts` (Int64 `[kinds]`,
    how often each occurs, at least 1); both empty without a token. Where the data have categories,
    of each of them and of all together. Analyses read them, such as `transfer_forecast`.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def start(self, inputs: Inputs) -> State:
        """Nothing is counted."""
        return {"ids": np.zeros(0, np.int64), "counts": np.zeros(0, np.int64)}

    def update(self, state: State, batch: Batch) -> State:
        """Counts the selected tokens of a batch."""
        kept = batch.ids.cpu()[batch.selected.cpu()].numpy().astype(np.int64)
        ids, counts = np.unique(kept, return_counts=True)
        return _together(state, {"ids": ids, "counts": counts.astype(np.int64)})

    def merge(self, left: State, right: State) -> State:
        """The counts of both."""
        return _together(left, right)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Gives the counts as arrays."""
        return Outcome(arrays=dict(state))


def _together(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> State:
    both = np.concatenate([left["ids"], right["ids"]])
    ids, places = np.unique(both, return_inverse=True)
    counts = np.zeros(len(ids), np.int64)
    np.add.at(counts, places, np.concatenate([left["counts"], right["counts"]]))
    return {"ids": ids, "counts": counts}
