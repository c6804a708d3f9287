"""Records of numbers that may be undefined, with or without an interval. Imports no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from harness.contract import Record
from harness.results.replicates import interval


def number(id: str, value: float | None, why: str | None, *, ci_why: str, **rest: Any) -> Record:
    """A record of `value` without an interval, which `ci_why` explains.

    Where `why` gives a reason, the number is undefined for that reason, whatever `value` is.
    `rest`: the other fields of the record.
    """
    return Record(id, None if why else value, ci_why=why or ci_why, undefined=why, **rest)


def drawn(
    id: str,
    replicates: Float[np.ndarray, " replicates"] | None,
    why: str | None,
    *,
    clusters: int,
    **rest: Any,
) -> Record:
    """A record of replicates[0], with the interval of the others, of `clusters` documents.

    Undefined, for the reason `why`, where there are none or replicates[0] is not finite.
    `rest`: the other fields of the record.
    """
    if replicates is None or not np.isfinite(replicates[0]):
        return Record(id, None, ci_why=why, undefined=why, clusters=clusters, **rest)
    ci, ci_why = interval(replicates, clusters)
    return Record(id, float(replicates[0]), ci=ci, ci_why=ci_why, clusters=clusters, **rest)
