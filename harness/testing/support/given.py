"""Whether what a plugin was given is as it was, arrays within it included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def written(value: Any) -> Any:
    """A value in which arrays are bytes, so that two can be compared; NaN equals itself."""
    if isinstance(value, np.ndarray):
        return "array", value.shape, str(value.dtype), value.tobytes()
    if isinstance(value, Mapping):
        return {key: written(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [written(inner) for inner in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: written(getattr(value, one.name)) for one in fields(value)}
    return repr(value) if isinstance(value, float) else value
