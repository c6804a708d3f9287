"""The mean of a score over the prompts of an arm, as a record with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness.contract import Axes, Record
from harness.results.intervals import clustered_wilson, wilson
from harness.results.replicates import interval, replicate_weights


def mean_over_prompts(
    id: str,
    values: Sequence[float | None],
    prompts: Sequence[str],
    axes: Axes,
    *,
    unit: str,
    options: Mapping[str, Any],
    seed: int,
    no_interval: str,
    undefined: str | None,
) -> Record:
    """The mean of the values that are known, with a 95% interval over different prompts.

    `values` and `prompts` are those of the completions of one arm, in order. Where no value is
    known the record is undefined, for the reason `undefined`, and has no interval, for the reason
    `no_interval`. Values that are all yes or no are a rate: Wilson's interval, else one by prompts.
    """
    known = [float(value) for value in values if value is not None]
    rate = all(isinstance(value, bool) for value in values if value is not None)
    asked = zip(prompts, values, strict=True)
    clusters = _clusters([prompt for prompt, value in asked if value is not None])
    ci, why = _interval(known, clusters, rate, seed) if known else (None, no_interval)
    return Record(
        id,
        float(np.mean(known)) if known else None,
        len(known),
        "prompts",
        unit,
        options,
        len(set(clusters)),
        ci,
        why,
        undefined=None if known else undefined,
        axes=axes,
    )


def _interval(
    values: Sequence[float], clusters: Sequence[int], rate: bool, seed: int
) -> tuple[tuple[float, float] | None, str | None]:
    """A 95% interval over prompts, or why there is none: Wilson's for rates of yes and no, else
    `replicates.interval`. Values of one cluster are of one prompt, and in or out together."""
    total, count = np.bincount(clusters, values), np.bincount(clusters)
    different = len(count)
    if rate and different == len(values):
        return wilson(int(sum(values)), len(values)), None
    if rate:
        return clustered_wilson(total, count)
    weights = replicate_weights([str(number) for number in range(different)], seed)
    with np.errstate(invalid="ignore"):
        means = weights @ total / (weights @ count)
    return interval(means, different, "prompts")


def _clusters(prompts: Sequence[str]) -> list[int]:
    """For each prompt its number among the different ones: equal prompts are no new evidence."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(prompt, len(numbers)) for prompt in prompts]
