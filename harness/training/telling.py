"""What a training's log is told: one number for each record, under a name that trackers take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.contract import Record
from harness.results.records import record_name
from harness.training.kept import CHECKPOINT

_SAME = ("pair", "data", CHECKPOINT)
"""Axes that are the same for all that a training measures, or are the step."""


def log_names(records: Sequence[Record]) -> Mapping[str, float]:
    """The numbers of records by name: `drift/cosine.raw/mid`.

    Behind the id stand the values of the axes, of an SAE without its site. Only letters, digits
    and `/ . - _` are in a name, as some trackers want it. What is undefined is left out: trackers
    know no reason. Two records with one name are told apart by their number.
    """
    found: dict[str, float] = {}
    for record in records:
        if record.value is None:
            continue
        axes = {key: value for key, value in record.axes.items() if key not in _SAME}
        if "sae" in axes:
            axes.pop("site", None)
        name = "/".join([record_name(record), *map(str, axes.values())])
        name = "drift/" + re.sub(r"[^A-Za-z0-9/._-]", "_", name)
        free, number = name, 2
        while free in found:
            free, number = f"{name}/{number}", number + 1
        found[free] = record.value
    return found
