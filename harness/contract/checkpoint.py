"""A model that was saved on the way of a training: what a task writes for it, and its step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Checkpoint:
    """What lies in one folder of a training, as a backend tells it without reading a weight."""

    keys: Mapping[str, Any]
    """The options of `[models.NAME]` that load it."""
    step: int | None = None
    """The step at which it was saved, where its files say so; else its name is asked."""
