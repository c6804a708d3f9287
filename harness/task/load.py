"""From the name of a task to the task: found, read with what is changed in it, and resolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.registry import Registry, discover
from harness.task.file import find_task, overridden, read_source
from harness.task.resolve import resolve
from harness.task.task import Task


def load(task: str | Path, **overrides: Any) -> Task:
    """Loads a task from a file, or the built-in task of that name.

    `overrides` are top-level keys (`seed=1`), or tables that are merged into the task's.
    Raises TaskError with everything that is wrong with the task.
    """
    return resolve(overridden(read_source(find_task(str(task))), overrides), discover())


def load_for_command(
    registry: Registry,
    name: str,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    models: Mapping[str, str | None] | None = None,
) -> Task:
    """Loads a task as a command of the command line asks for it.

    `overrides` are texts such as `models.base.path=gpt2`. `limit` caps the rows of every data set.
    `models` are keys that every model gets, such as `device`; those whose value is None are left
    as the task has them. Raises TaskError with everything that is wrong with the task.
    """
    file = find_task(name)
    source = read_source(file, overrides)
    if more := [*_limited(source.values, limit), *_on_all_models(source.values, models or {})]:
        source = read_source(file, [*overrides, *more])
    return resolve(source, registry)


def _limited(values: Mapping[str, Any], limit: int | None) -> Iterator[str]:
    """The overrides that cap the rows of every data set of a task."""
    data = values.get("data")
    if limit is not None and isinstance(data, dict):
        yield from (f'data."{name}".at_most={limit}' for name in data)


def _on_all_models(values: Mapping[str, Any], keys: Mapping[str, str | None]) -> Iterator[str]:
    """The overrides that give every model of a task the same values of some keys."""
    models = values.get("models")
    for key, value in keys.items():
        if value is not None and isinstance(models, dict):
            yield from (f'models."{name}".{key}="{value}"' for name in models)
