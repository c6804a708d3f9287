"""The order of names: numbers by size, also inside a text."""

from __future__ import annotations

import re
from typing import Any


def natural(text: str) -> tuple[Any, ...]:
    """A key to sort by: `0.5` before `12`, `step_20` before `step_100`; numbers before texts."""
    if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?", text):
        return (0, float(text), text)
    # Digits are compared as text, by length first: no number is too long.
    parts = [
        (1, len(part.lstrip("0")), part.lstrip("0")) if number % 2 else (0, 0, part)
        for number, part in enumerate(re.split(r"([0-9]+)", text))
    ]
    return (1, parts, text)
