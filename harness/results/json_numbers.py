"""JSON that a run has written, read back: every number in it is finite and fits 64 bits."""

from __future__ import annotations

import json
import math
from typing import Any


def strict_loads(text: str) -> Any:
    """The value of a JSON text; ValueError for NaN, for infinite numbers such as 1e999, and for
    integers beyond 64 bits, which no run writes and no arithmetic here expects."""
    return json.loads(text, parse_constant=_none, parse_float=_finite, parse_int=_whole)


def _none(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.40} is too large for a number")
    return number


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**64:
        raise ValueError(f"{text:.40} is too large for a whole number")
    return int(text)
