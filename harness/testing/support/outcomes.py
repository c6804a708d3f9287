"""Whether what a component yields can be kept: records, tables and arrays."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.contract import Outcome
from harness.testing.support.reductions import check_record, check_unique, law

ARRAY_NAME = re.compile(r"[\w.-]+")


def check_outcome(outcome: Outcome) -> None:
    """Raises AssertionError, naming the law, where an outcome cannot be kept with a run.

    Laws: an Outcome comes out · no directions · records are complete and unique · axes and options
    are plain values · tables have rows of plain values · rows of a table have the same columns ·
    arrays are numbers with a name.
    """
    law(isinstance(outcome, Outcome), "an Outcome comes out", f"{outcome!r:.200}")
    law(not outcome.directions, "no directions", f"{len(outcome.directions)} came out")
    for record in outcome.records:
        check_record(record)
        plain = is_plain({**record.axes}) and is_plain({**record.options})
        law(plain, "axes and options are plain values", f"{record.id}: {record!r:.300}")
    check_unique(outcome.records)
    for name, rows in outcome.tables.items():
        for row in rows:
            fine = isinstance(row, Mapping) and is_plain(dict(row))
            law(fine, "tables have rows of plain values", f"{name}: {row!r:.200}")
            same = list(row) == list(rows[0])
            law(same, "rows of a table have the same columns", f"{name}: {list(row)}")
    for name, array in outcome.arrays.items():
        number = isinstance(array, np.ndarray) and array.dtype.kind in "fiub"
        fine = number and ARRAY_NAME.fullmatch(name) is not None
        law(fine, "arrays are numbers with a name", f"{name!r}: {array!r:.200}")


def is_plain(value: Any) -> bool:
    """Whether strict JSON and UTF-8 can hold it: no NaN, no numpy numbers, no lone surrogates."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError):
        return False
    return True
