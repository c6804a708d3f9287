"""JSON that a run has written, read back: every number in it is finite and fits 64 bits."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def strict_loads(text: str) -> Any:
    """The value of a JSON text; ValueError for NaN, for infinite numbers such as 1e999, and for
    integers beyond 64 bits, which no run writes and no arithmetic here expects."""
    return json.loads(text, parse_constant=_none, parse_float=_finite, parse_int=_whole)


def strict_lines(lines: Iterable[str], read: Callable[[str], Any]) -> Iterator[Any]:
    """What `read` makes of each line that is not empty; ValueError, which names the line."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = read(line)
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"line {number}: {not_read(error)}") from error
        yield value


def not_read(error: Exception) -> str:
    """Why a file of JSON could not be read, in words, without a full stop."""
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, json.JSONDecodeError):
        return f"it is no JSON, or cut short ({error})"
    return str(error).rstrip(".")


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
