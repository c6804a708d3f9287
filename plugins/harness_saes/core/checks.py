"""Configuration files and their values, read with their types; messages name the file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import ModelError


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file; ModelError where there is none."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ModelError(f"{file}: is no JSON ({error}). Copy or download it again.") from error
    if not isinstance(data, dict):
        raise ModelError(f"{file}: is no JSON object. Expected a configuration.")
    return data


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
