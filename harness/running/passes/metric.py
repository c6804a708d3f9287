"""Makes a reduction of a metric, which is two pure functions: sums of a batch, value of sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from harness.contract import Batch, Inputs, Metric, Outcome, State
from harness.errors import PluginError, listed
from harness.results.intervals import ONCE, Sums


class MetricReduction:
    """Adds up a metric's sums over batches; its values and intervals are made of them at the end.

    `side` is the side of the stream that the metric measures, `pair` for both at once,
    `difference` for the change from left to right. Intervals
    are by documents. `options` become those of the records.
    Raises PluginError where the metric's sums are not what the contract says.
    """

    def __init__(
        self,
        metric: Metric,
        side: Literal["left", "right", "pair", "difference"],
        options: Mapping[str, Any],
    ) -> None:
        self._metric = metric
        self._side = side
        self._options = dict(options)
        self._sums = Sums(metric.values)

    def start(self, inputs: Inputs) -> State:
        """The state of no documents."""
        return self._sums.start(inputs.seed)

    def update(self, state: State, batch: Batch) -> State:
        """The state after one more batch; a batch without documents changes nothing.

        Raises ValueError where the stream has no right side and the metric measures it.
        """
        sides = {"right": batch.right, "difference": batch.difference}
        side = sides.get(self._side, batch.left)
        if side is None or (self._side == "pair" and batch.right is None):
            raise ValueError(f"stream {batch.stream} has no right side")
        if not batch.documents:
            return state
        found = {
            name: value.detach().cpu().double().numpy()
            for name, value in self._metric.sums(batch, side).items()
        }
        self._check(found, len(batch.documents))
        return self._sums.update(state, batch.documents, found, batch.copies)

    def merge(self, left: State, right: State) -> State:
        """The state of the documents of both; none may be in both."""
        return self._sums.merge(left, right)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One record for each value of the metric, with its interval."""
        return Outcome(tuple(self._sums.records(self._metric, state, self._options)))

    def _check(self, sums: Mapping[str, np.ndarray], documents: int) -> None:
        who = f"metric {listed(value.id for value in self._metric.values)}"
        if "n" not in sums:
            raise PluginError(
                f"{who}: its sums have no n. Expected n, the number of things measured in each "
                f"document; found {listed(sums)}."
            )
        for name, value in sums.items():
            rows = 1 if name.startswith(ONCE) else documents
            if value.shape[:1] != (rows,):
                raise PluginError(
                    f"{who}: the sum {name} has shape {list(value.shape)}. Expected one entry "
                    f"for each of the {documents} documents of the batch, or one for all of them "
                    f"where the name begins with {ONCE}"
                )
