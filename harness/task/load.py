"""From the name of a task to the task: found, read with what is changed in it, and resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract.described import fields_of
from harness.errors import PluginError
from harness.registry import discover
from harness.task.file import find_task, overridden, read_source, tables
from harness.task.resolve import resolve
from harness.task.spec import ModelSpec

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.task.file import Source
    from harness.task.task import Task
    from harness.task.trust import Trust


def load(task: str | Path, trust: Trust | None = None, **overrides: Any) -> Task:
    """Loads a task from a file, or the built-in task of that name.

    `trust` says which of the task's own files may run; without it, those that are remembered.
    `overrides` are top-level keys (`seed=1`), or tables that are merged into the task's.
    Raises TaskError with everything that is wrong with the task.
    """
    return resolve(overridden(read_source(find_task(str(task))), overrides), discover(), trust)


def load_for_command(
    registry: Registry,
    name: str,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    models: Mapping[str, str | None] | None = None,
    trust: Trust | None = None,
    changed: Callable[[Source], Source] = lambda source: source,
) -> Task:
    """Loads a task as a command of the command line asks for it.

    `overrides` are texts such as `models.base.path=gpt2`. `limit` caps the rows of every data set.
    `models` are keys that every model gets whose backend has them, such as `device`; those whose
    value is None are left as the task has them. `trust` says which of the task's own files may run.
    `changed` makes of what is written so far what is read.
    Raises TaskError with everything that is wrong with the task.
    """
    file = find_task(name)
    source = read_source(file, overrides)
    more = [
        *_everywhere(source.values, "data", {"at_most": limit}),
        *_everywhere(source.values, "models", models or {}, takes_key(registry)),
    ]
    if more:
        source = read_source(file, [*overrides, *more])
    return resolve(changed(source), registry, trust)


def _everywhere(
    values: Mapping[str, Any],
    table: str,
    keys: Mapping[str, str | int | None],
    takes: Callable[[Any, str], bool] = lambda entry, key: True,
) -> Iterator[str]:
    """The overrides that give every entry of a table that takes it the same value of some keys."""
    for key, value in keys.items():
        if value is not None:
            shown = f'"{value}"' if isinstance(value, str) else value
            for name, entry in tables(values, table):
                if takes(entry, key):
                    yield f'{table}."{name}".{key}={shown}'


def takes_key(registry: Registry) -> Callable[[Any, str], bool]:
    """Tells whether the backend of a model's table has an option: one behind a server has no
    device. Of a backend that cannot be asked, everything is taken to be one."""

    def has(entry: Any, key: str) -> bool:
        written = entry.get("backend") if isinstance(entry, dict) else None
        name = written or fields_of(ModelSpec)["backend"].default
        try:
            found = registry.find("backend", str(name), ours=written is None)
            return key in fields_of(found.options())
        except PluginError:
            return True  # said where the table is read

    return has
