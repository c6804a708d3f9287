"""Values of a configuration, read with their types; messages begin with the file's name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.errors import ModelError


def count(data: Mapping[str, Any], key: str, where: str) -> int:
    """A whole number from 1; ModelError where the key is missing or something else."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise wrong(where, key, value, "a whole number from 1")
    return value


def number(data: Mapping[str, Any], key: str, default: float, where: str) -> float:
    """A finite number; `default` where the key is missing or null."""
    value = data.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise wrong(where, key, value, "a number")
    return float(value)


def flag(data: Mapping[str, Any], key: str, default: bool, where: str) -> bool:
    """True or false; `default` where the key is missing or null."""
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise wrong(where, key, value, "true, false")
    return value


def text(data: Mapping[str, Any], key: str, where: str) -> str | None:
    """Text; None where the key is missing or null."""
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise wrong(where, key, value, "text")
    return value


def wrong(where: str, key: str, value: object, allowed: str) -> ModelError:
    """The error for a value that is not allowed."""
    return ModelError(f"{where}: key {key} is {value!r}. Allowed: {allowed}.")
