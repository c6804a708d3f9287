"""How far two models are apart on the same tokens: what the sentinel of a pair measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from harness.contract import Batch, Inputs, Outcome, Record, Site, State


class RelativeDifference:
    """Relative difference of a pair at some sites, as a reduction.

    sqrt(Σ‖x_right − x_left‖² / Σ‖x_left‖²), summed over all tokens in float64. Unit: ratio, 0 for
    identical models. Undefined without tokens, or where all activations of the left are zero.
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = tuple(sites)

    def start(self, inputs: Inputs) -> State:
        """Sums of squares of zero for each site, and no tokens or documents."""
        size = len(self._sites)
        return {"change": np.zeros(size), "size": np.zeros(size), "counts": np.zeros(2, np.int64)}

    def update(self, state: State, batch: Batch) -> State:
        """Adds the tokens of a batch."""
        assert batch.right is not None
        change, size = state["change"].copy(), state["size"].copy()
        for index, site in enumerate(self._sites):
            left, right = batch.left.x(site).double(), batch.right.x(site).double()
            change[index] += float((right.to(left.device) - left).square().sum())
            size[index] += float(left.square().sum())
        different = batch.clusters(
            np.bincount(batch.document.cpu(), minlength=len(batch.documents))
        )
        counts = state["counts"] + np.array([len(batch.document), different])
        return {"change": change, "size": size, "counts": counts}

    def merge(self, left: State, right: State) -> State:
        """The sums of both."""
        return {key: left[key] + right[key] for key in left}

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One record `difference.relative@1` for each site."""
        return Outcome(tuple(self._records(state)))

    def _records(self, state: State) -> Iterator[Record]:
        tokens, documents = (int(count) for count in state["counts"])
        for site, change, size in zip(self._sites, state["change"], state["size"], strict=True):
            value = float(np.sqrt(change / size)) if size > 0 else None
            yield Record(
                "difference.relative@1",
                value,
                tokens,
                "tokens",
                "ratio",
                clusters=documents,
                ci_why="a check of two sets of weights, not an estimate",
                null={"kind": "identical models", "value": 0.0},
                undefined=None if value is not None else "no tokens, or all activations are zero",
                axes={"site": str(site)},
            )
