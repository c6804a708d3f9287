"""What was done to a file, and what a run then owes its reader."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Owed = Literal["nothing", "a word", "the same numbers", "a refusal"]
"""`a refusal`: a run that ends with 0 would be silently wrong. `the same numbers`: it would, unless
what was changed decides none of them. `a word`: it may go on, with a warning among its results.
`nothing`: what it makes of the file cannot be known to be wrong."""


@dataclass(frozen=True)
class Told:
    """One change of one file."""

    what: str
    """The change in words, such as `W_enc: NaN at 7`."""
    owed: Owed = "nothing"


Damage = Callable[[Path, random.Random], Told]
"""Changes a file in place."""


def shown(value: object, most: int = 60) -> str:
    """A value for one line of text, in part where it is long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
