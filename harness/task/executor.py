"""Which executor a run gets, where somebody beside the task asks for one: a command, a function
call, a person's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.contract.described import fields_of
from harness.errors import PluginError, TaskError
from harness.task.components import configured_tables, entries
from harness.task.file import Origin, Source
from harness.task.spec import ExecutorSpec
from harness.task.validate import validated

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.task.file import KeyPath
    from harness.task.task import Task

TABLE = "executor"
USUAL: str = fields_of(ExecutorSpec)["method"].default
"""The executor of a table that names none."""


@dataclass(frozen=True)
class Wanted:
    """An executor that somebody asks for: keys of `[executor]`, and where each was written."""

    keys: Mapping[str, Any] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)


def wanted(method: str | None, workers: int | None, given: str) -> Wanted:
    """What a command or a call asks for; `given` is its form, such as `--{}` or `run(…, {}=…)`."""
    asked = {"method": (method, "executor"), "workers": (workers, "workers")}
    keys = {key: value for key, (value, _) in asked.items() if value is not None}
    return Wanted(keys, {key: Origin(None, given=given.format(asked[key][1])) for key in keys})


def with_executor(
    source: Source, registry: Registry, above: Wanted, below: Wanted | None = None
) -> tuple[Source, frozenset[str]]:
    """A task with what is wanted `above` it and `below` it in its `[executor]`; and the keys that
    come from below.

    The method is that of the uppermost who names one: what is above, `--set`, the task, what is
    below. Keys of those beneath it stay where they are of the same method (a table that names none
    is of the usual one), and fall away where they are of another, which does not know them.
    """
    table = source.values.get(TABLE, {})
    if not isinstance(table, dict):
        return source, frozenset()  # said where the task is read
    written_at = {key: source.origin((TABLE, key)) for key in table}
    called = {key: value for key, value in table.items() if written_at[key].file is None}
    written = {key: value for key, value in table.items() if key not in called}
    beneath = below or Wanted()
    layers = [
        (above, above.keys.get("method")),
        (Wanted(called, written_at), called.get("method")),
        (Wanted(written, written_at), written.get("method", USUAL) if written else None),
        (beneath, beneath.keys.get("method", USUAL) if beneath.keys else None),
    ]
    if not any(layer.keys for layer, _ in layers):
        return source, frozenset()
    method = next((own for _, own in layers if own is not None), USUAL)
    values: dict[str, Any] = {}
    places: dict[str, Origin] = {}
    for layer, own in reversed(layers):
        if own is None or _same(registry, own, method):
            values |= layer.keys
            places |= {key: layer.origins[key] for key in layer.keys}
    given = {key for key in beneath.keys if places.get(key) is beneath.origins[key]}
    if any(own is not None for _, own in layers[:-1]):
        given.discard("method")  # a table that names none has the usual one
    origins: dict[KeyPath, Origin] = {
        at: one for at, one in source.origins.items() if at[:1] != (TABLE,) or len(at) == 1
    }
    origins |= {(TABLE, key): place for key, place in places.items()}
    return Source(source.file, {**source.values, TABLE: values}, origins), frozenset(given)


def given_executor(task: Task, registry: Registry, above: Wanted) -> Task:
    """A task with the executor that is wanted. TaskError with all that is wrong with it."""
    source, _ = with_executor(task.source, registry, above)
    alone = replace(source, values={TABLE: source.values[TABLE]})
    found = configured_tables(alone, registry)[TABLE]
    spec, invalid = validated(ExecutorSpec, source.values[TABLE], source, (TABLE,))
    problems = [*invalid, *(problem for one in found for problem in one.problems)]
    if spec is None or problems:
        raise TaskError(problems)
    chosen = task.spec.model_copy(update={TABLE: spec})
    return replace(task, source=source, spec=chosen, executor=entries(found)[TABLE])


def _same(registry: Registry, one: object, other: object) -> bool:
    """Whether two names are those of one executor, such as `ray` and `harness_executors/ray`."""
    if one == other:
        return True
    try:
        return registry.find("executor", str(one)) == registry.find("executor", str(other))
    except PluginError:  # said where the table is read
        return False
