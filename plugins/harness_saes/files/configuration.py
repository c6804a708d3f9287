"""Configuration files, which are JSON objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import ModelError


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file; ModelError where there is none."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_object)
    except OSError as error:
        raise ModelError(
            f"{file}: cannot be read ({error.strerror or error}). Allowed: a JSON file. Copy it"
            " again, or change the path."
        ) from error
    except RecursionError as error:
        raise ModelError(
            f"{file}: is nested too deeply to be a configuration. Copy or download it again."
        ) from error
    except ValueError as error:
        raise ModelError(f"{file}: is no JSON ({error}). Copy or download it again.") from error
    if not isinstance(data, dict):
        raise ModelError(f"{file}: is no JSON object. Expected a configuration.")
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; ValueError where a key comes twice with two values: readers differ in whose they
    take."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and found[key] != value:
            raise ValueError(f"the key {key[:80]!r} comes twice, with two values")
        found[key] = value
    return found
