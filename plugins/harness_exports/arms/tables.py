"""Reading tables of a task that was kept with a run: what is not there is empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def table(task: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """The table at this path of a task, such as `("experiments", "bypass")`; empty without it."""
    found: Any = task
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
