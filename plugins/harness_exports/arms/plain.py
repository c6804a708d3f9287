"""Plain JSON that every reader takes: no lone surrogates, no numbers that are none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.text import well_formed


def plain(value: Any) -> Any:
    """The value as JSON; what is no number becomes null, what JSON does not have a text."""
    if isinstance(value, Mapping):
        return {well_formed(str(key)): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return well_formed(str(value))
