"""Records that are made of moments, and the records of forecasts as other analyses read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from harness.contract import JSON, Record
from harness.results.records import grouped, record_name
from harness_analyses.axes import AxesKey, axes_key, without
from harness_analyses.transfer.moments import Moments, jackknife


def of_sums(
    id: str,
    value: Callable[[Moments], float],
    sums: Moments,
    unit: str,
    why: str | None,
    axes: Mapping[str, JSON],
    **rest: Any,
) -> Record:
    """A record of `value(sums)`, with its jackknife interval over groups of documents.

    Undefined for the reason `why` where one is given, without tokens, and where the value is not
    finite. `rest`: the other fields of the record.
    """
    why = why or (None if sums.n else "no token of the domain was measured")
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
        **rest,
    )


def cosine(a: Float[np.ndarray, " d"], b: Float[np.ndarray, " d"]) -> float:
    """cos(a, b), in [−1, 1]; NaN where one of them has no length."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def forecasts(records: Sequence[Record], analysis: str) -> dict[tuple[str, AxesKey], list[Record]]:
    """The forecasts of an `sts`, a record a domain, by name and the axes of their variant."""
    own = [one for one in records if one.axes.get("analysis") == analysis and "domain" in one.axes]
    return grouped(
        (one for one in own if one.id.startswith("sts.")),
        lambda one: (record_name(one), axes_key(without(one.axes, ("analysis", "domain")))),
    )
