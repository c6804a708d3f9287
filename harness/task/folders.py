"""Folders of checkpoints in a task, and the task without what happens to be in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Folder:
    """A folder of checkpoints of a task, as it was found."""

    name: str
    """The name in `[pairs.NAME]`."""
    pairs: tuple[str, ...]
    """The pairs that it has become, in the order of their steps; models and views are called
    alike."""
    table: Mapping[str, Any]
    """What the task wrote, with `from` as an absolute path."""


def folded(
    values: Mapping[str, Any], folders: Sequence[Folder], metrics: Mapping[str, str]
) -> dict[str, Any]:
    """The parts of a resolved task with each folder as one pair again, whatever is in it.

    Two tasks that differ only in which checkpoints there are come to the same.
    """
    pairs = {pair: folder.name for folder in folders for pair in folder.pairs}
    found = {key: _refolded(value, pairs) for key, value in values.items()}
    for part in ("models", "views", "pairs"):
        found[part] = {k: v for k, v in found.get(part, {}).items() if k not in pairs}
    found["pairs"] |= {folder.name: dict(folder.table) for folder in folders}
    measured = found.get("metrics", {})
    found["metrics"] = {metrics.get(name, name): table for name, table in measured.items()}
    return found


def _refolded(value: Any, pairs: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _refolded(inner, pairs) for key, inner in value.items()}
    if isinstance(value, list):
        names = [_refolded(inner, pairs) for inner in value]
        return [one for place, one in enumerate(names) if one not in names[:place]]
    return pairs.get(value, value) if isinstance(value, str) else value
