"""Tells a task that was moved, with its files or to copies of them, from another task."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from harness.contract import Place
from harness.task.task import decisive
from harness.task.validate import marks

if TYPE_CHECKING:
    from harness.task.task import Task

_END = 2**20
"""Bytes at each end of a file that are read: the weights of a model are not read twice."""


def moved_hash(task: Task) -> str:
    """Hashes a task as `task_hash` does, with what lies at local paths in the place of the paths.

    Of large files the size and both ends are looked at. That is enough to name a folder's run:
    what is remembered in it has keys by all that it was made from.
    """
    stamps = {place: _stamp(Path(place)) for place in _places(task)}
    text = json.dumps(_stamped(decisive(task), stamps), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _places(task: Task) -> set[str]:
    """The local paths that the task names."""
    options: list[BaseModel] = [*task.spec.data.values()]
    options += [instance.options for instance in task.instances]
    tables: tuple[Mapping[str, Any], ...] = (
        task.models,
        task.saes,
        task.metrics,
        task.interventions,
        task.edits,
    )
    options += [entry.options for table in tables for entry in table.values()]
    return {
        text
        for one in options
        for key, mark in marks(type(one))
        if isinstance(mark, Place)
        and isinstance(text := getattr(one, key), str)
        and Path(text).exists()
    }


def _stamped(value: Any, stamps: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _stamped(inner, stamps) for key, inner in value.items()}
    if isinstance(value, list):
        return [_stamped(inner, stamps) for inner in value]
    return stamps.get(value, value) if isinstance(value, str) else value


def _stamp(place: Path) -> str:
    """A hash of a file, or of the files of a folder with their names in it."""
    total = hashlib.sha256()
    for file in sorted(_files(place)):
        total.update(f"{file.relative_to(place)}\n".encode(errors="replace"))
        # What nobody may read here, whoever needs it will say.
        with suppress(OSError), file.open("rb") as content:
            size = file.stat().st_size
            total.update(b"%d\n" % size + content.read(_END))
            content.seek(max(size - _END, 0))
            total.update(content.read(_END))
    return total.hexdigest()


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    elif place.is_dir():
        yield from (path for path in place.rglob("*") if path.is_file())
