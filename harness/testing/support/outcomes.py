"""Whether an outcome can be kept with a run, and whether two are the same."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from harness.contract import Direction, Found, Outcome, PValues, Record
from harness.testing.support.laws import law

RECORD_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*@[1-9]\d*")
ARRAY_NAME = re.compile(r"(?!__metadata__$)[\w./=,@+-]+")
"""What a tensor of a safetensors file may be called; a path such as `pair/sae/flips`, too."""


def check_outcome(outcome: Outcome) -> None:
    """Raises AssertionError, naming the law, where an outcome cannot be kept with a run.

    Laws: an Outcome comes out · no directions · records are complete and unique · axes and options
    are plain values · tables have rows of plain values · rows of a table have the same columns ·
    arrays are numbers with a name · p values are between 0 and 1, each with what it is of.
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
    for tests in outcome.p_values:
        check_p_values(tests)


def check_p_values(tests: PValues) -> None:
    """Raises AssertionError where p values do not say what they are of, or are none."""
    name, which = "p values are between 0 and 1, each with what it is of", tests.id
    law(RECORD_ID.fullmatch(which) is not None, name, f"{which!r} is no name@version")
    law(bool(tests.null) and bool(tests.item), name, f"{which}: it has no null, or no item")
    law(is_plain({**tests.axes}), name, f"{which}: axes are plain values: {tests.axes!r:.200}")
    p = np.asarray(tests.array)
    fine = p.ndim == 1 and p.dtype == np.float64 and bool(((p > 0) & (p <= 1) | np.isnan(p)).all())
    law(fine, name, f"{which}: float64, each above 0 and at most 1, or NaN: {p!r:.200}")
    for array in (tests.items, tests.values):
        if array is not None:
            many = np.asarray(array).shape
            law(many == p.shape, name, f"{which}: {many} beside {p.shape} of p")
    apart = tests.items is None or len(np.unique(tests.items)) == len(p)
    law(apart, name, f"{which}: an item stands there twice")


def is_plain(value: Any) -> bool:
    """Whether strict JSON and UTF-8 can hold it: no NaN, no numpy numbers, no lone surrogates."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError):
        return False
    return True


def check_record(record: Record) -> None:
    """Raises AssertionError where a record does not say what it is, of how much, or why not."""
    name, which = "records are complete and unique", record.id
    what = f"{which!r} is no name@version: an id is name.variant@version"
    law(RECORD_ID.fullmatch(which) is not None, name, what)
    given = f"value {record.value!r} with undefined {record.undefined!r}"
    reasoned = (record.value is None) == bool(record.undefined)
    law(reasoned, name, f"{which}: a value or a reason: {given}")
    finite = record.value is None or math.isfinite(record.value)
    law(finite, name, f"{which}: a value is finite: it is {record.value}")
    law(record.n >= 0 and bool(record.n_of), name, f"{which}: n is {record.n} {record.n_of!r}")
    law(bool(record.unit), name, f"{which}: it has no unit")
    explained = record.ci is not None or bool(record.ci_why) or record.value is None
    law(explained, name, f"{which}: an interval or a reason: no interval, and ci_why is empty")
    low, high = record.ci or (0.0, 0.0)
    ordered = math.isfinite(low) and math.isfinite(high) and low <= high
    law(ordered, name, f"{which}: an interval is in order: it is {record.ci}")


def check_unique(records: Iterable[Record]) -> None:
    """Raises AssertionError where two records have the same id, options and axes."""
    keys = Counter((record.id, key_of(record.options), key_of(record.axes)) for record in records)
    twice = [key for key, count in keys.items() if count > 1]
    what = f"more than one record is {twice}: one record for each id, options and axes"
    law(not twice, "records are complete and unique", what)


def key_of(axes: Mapping[str, Any]) -> str:
    """Axes or options as one text, whatever their order."""
    return ", ".join(f"{name}={axes[name]!r}" for name in sorted(axes))


def same(name: str, left: Outcome, right: Outcome, tolerance: float) -> None:
    """Raises AssertionError, naming the law, where two outcomes differ by more than a tolerance."""
    agree(name, "records", left.records, right.records, tolerance)
    agree(name, "directions", left.directions, right.directions, tolerance)
    agree(name, "arrays", left.arrays, right.arrays, tolerance)
    agree(name, "p_values", left.p_values, right.p_values, tolerance)
    tables = [{name: list(rows) for name, rows in one.tables.items()} for one in (left, right)]
    agree(name, "tables", tables[0], tables[1], tolerance)


def agree(name: str, where: str, left: Any, right: Any, tolerance: float) -> None:
    """Raises AssertionError, naming the law, where two values differ: numbers by more than the
    tolerance, anything else at all."""
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        law(_close(left, right, tolerance), name, f"{where}: {left!r} against {right!r}")
    elif isinstance(left, PValues) and isinstance(right, PValues):
        agree(name, f"{where}.p", left.array, right.array, tolerance)
        for key in ("id", "null", "item", "items", "values", "least_p", "axes"):
            agree(name, f"{where}.{key}", getattr(left, key), getattr(right, key), tolerance)
    elif isinstance(left, (Record, Found, Direction)) and type(left) is type(right):
        for key in left.__dataclass_fields__:
            agree(name, f"{where}.{key}", getattr(left, key), getattr(right, key), tolerance)
    elif isinstance(left, Mapping) and isinstance(right, Mapping):
        law(left.keys() == right.keys(), name, f"{where}: {list(left)} against {list(right)}")
        for key in left:
            agree(name, f"{where}[{key!r}]", left[key], right[key], tolerance)
    elif isinstance(left, (tuple, list)) and isinstance(right, (tuple, list)):
        law(len(left) == len(right), name, f"{where}: {len(left)} against {len(right)} entries")
        for index, pair in enumerate(zip(left, right, strict=True)):
            agree(name, f"{where}[{index}]", *pair, tolerance)
    elif isinstance(left, float) and isinstance(right, float):
        # Numbers below 1 are compared absolutely: a weight that is 0 comes out as rounding.
        # NaN is a wrong number, but the same one: whether it may be there is another law.
        fine = math.isclose(left, right, rel_tol=tolerance, abs_tol=tolerance)
        fine = fine or (math.isnan(left) and math.isnan(right))
        law(fine, name, f"{where}: {left!r} against {right!r}")
    else:
        law(left == right, name, f"{where}: {left!r} against {right!r}")


def _close(left: np.ndarray, right: np.ndarray, tolerance: float) -> bool:
    if right.dtype.kind not in "fiub" or left.shape != right.shape:
        return np.array_equal(left, right)
    scale = float(np.nan_to_num(np.abs(right)).max(initial=0.0)) if right.dtype != bool else 0.0
    return bool(np.allclose(left, right, rtol=0, atol=tolerance * scale, equal_nan=True))
