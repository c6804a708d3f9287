"""Stops a run that would measure something else than the task says, before it begins.

Each SAE is held against its own model's text at its site and at the neighbouring ones, and each
pair with an expectation is checked for a difference between its two models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.contract import Batch, Inputs, Outcome, Record, Site, State
from harness.planning.steps import MetricJob, SentinelJob

if TYPE_CHECKING:
    from harness.task.task import Task

MARGIN = 0.2
"""A neighbouring site counts as the right one when it is better by more than this share."""
ROUNDING = 1e-5
"""Differences up to this are rounding: two models count as the same, two sites as equally good."""


class Difference:
    """Relative difference of a pair, as a reduction: sqrt(Σ‖x_right − x_left‖² / Σ‖x_left‖²).

    Unit: ratio, 0 for identical models. Undefined without tokens or with all-zero activations.
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = tuple(sites)

    def start(self, inputs: Inputs) -> State:
        """Sums of squares, one per site, and the tokens and documents."""
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
        counts = state["counts"] + np.array([len(batch.document), len(batch.documents)])
        return {"change": change, "size": size, "counts": counts}

    def merge(self, left: State, right: State) -> State:
        """Sums of both."""
        return {key: left[key] + right[key] for key in left}

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One record per site."""
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


def sentinel_failures(job: SentinelJob, records: Sequence[Record]) -> Iterator[str]:
    """Why a pair is not what the task expects, if so."""
    values = [record.value for record in records if record.value is not None]
    if not values:
        yield f"pairs.{job.pair}: no token could be compared, so the models may be the same."
    elif job.expect == "different" and max(values) <= ROUNDING:
        yield (
            f"pairs.{job.pair}: the two models are the same (relative difference "
            f"{max(values):.1e} at most), but the task expects them to be different. Check the "
            "paths, and whether an adapter really attached."
        )
    elif job.expect == "same" and max(values) > ROUNDING:
        yield (
            f"pairs.{job.pair}: the two models differ (relative difference {max(values):.1e}), "
            "but the task expects them to be the same."
        )


def sae_failures(task: Task, measured: Sequence[tuple[MetricJob, Record]]) -> Iterator[str]:
    """Why an SAE does not sit where the task puts it, if so; names the right site."""
    preflight = task.spec.preflight
    if preflight is None:
        return
    for name in task.spec.saes:
        site = task.sae_site(name)
        fvu: dict[Site, float] = {}
        for job, record in measured:
            if job.target.sae == name and job.entry == preflight.fvu and record.value is not None:
                fvu.setdefault(job.target.site, record.value)  # the first value of the metric
        here = fvu.get(site)
        if here is None:
            yield f"saes.{name}: its fraction of variance unexplained at {site} is undefined."
            continue
        best = min(fvu, key=lambda other: fvu[other])
        if best != site and fvu[best] < (1 - MARGIN) * here - ROUNDING:
            yield (
                f"saes.{name}: it explains {best} better than {site}, where the task puts it "
                f"(FVU {fvu[best]:.3g} against {here:.3g}). Is {best} its site?"
            )
        elif here > preflight.fvu_max:
            yield (
                f"saes.{name}: FVU {here:.3g} at {site} on {preflight.data} is above fvu_max = "
                f"{preflight.fvu_max:g}. Is it an SAE of this model, and of this kind of text?"
            )
