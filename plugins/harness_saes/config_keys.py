"""Keys of a format's configuration: those that are known, and what their values may be."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Set
from typing import Any

from harness.errors import ModelError, listed, suggestion
from harness_saes.core.checks import text, wrong


def words(text: str) -> frozenset[str]:
    """The words of a text: names of keys, too many to quote each."""
    return frozenset(text.split())


def refuse_unknown(
    data: Mapping[str, Any], deciding: Set[str], telling: Set[str], where: str
) -> None:
    """Refuses a key that neither decides numbers in a known way nor only tells of training."""
    for key in data:
        if key not in deciding | telling:
            raise ModelError(
                f"{where}: unknown key {key!r}, which could change the numbers. Allowed: "
                f"{listed(deciding, 20)}, and what only tells of training."
                f"{suggestion(key, deciding | telling)} Remove the key if it changes nothing."
            )


def allowed(
    data: Mapping[str, Any], key: str, default: Any, values: tuple[Any, ...], where: str
) -> Any:
    """The value of a key that may only be one of some; the default where it is not there."""
    value = data.get(key, default)
    # 1 and True are equal in Python, and different in JSON.
    if not any(value == v and type(value) is type(v) for v in values):
        raise wrong(where, key, value, ", ".join(json.dumps(v) for v in values))
    return value


def positive(data: Mapping[str, Any], key: str, where: str, *, zero: bool = False) -> float:
    """A finite number above 0, or from 0."""
    value = data.get(key)
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    number = float(value) if numeric else math.nan  # type: ignore[arg-type]
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise wrong(where, key, value, "a number from 0" if zero else "a number above 0")
    return number


def required_text(data: Mapping[str, Any], key: str, where: str) -> str:
    """A text that must be there."""
    value = text(data, key, where)
    if value is None:
        raise wrong(where, key, value, "text")
    return value
