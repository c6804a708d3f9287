"""Records of numbers that are made of moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from harness.contract import JSON, Record
from harness_analyses.transfer.moments import Moments, jackknife


def of_sums(
    id: str,
    value: Callable[[Moments], float],
    sums: Moments,
    unit: str,
    why: str | None,
    axes: Mapping[str, JSON],
    **more: Any,
) -> Record:
    """A record of a number made of sums, with its interval over documents."""
    found = float("nan") if why else value(sums)
    if why is None and not np.isfinite(found):
        why = "the activations are not finite, or all zero"
    ci, ci_why = (None, why) if why else jackknife(sums, value)
    return Record(
        id,
        None if why else found,
        sums.n,
        "tokens",
        unit,
        clusters=sums.clusters,
        ci=ci,
        ci_why=ci_why,
        undefined=why,
        axes=axes,
        **more,
    )


def cosine(a: Float[np.ndarray, " d"], b: Float[np.ndarray, " d"]) -> float:
    """cos(a, b), in [−1, 1]; NaN where one of them has no length."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
