"""The tables of a task that configure a component: which one, and with which options.

Every `Table`, as it was written, becomes a `Configured`: what is understood of it, and what is
wrong with it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from harness.contract import ByHand
from harness.contract.described import fields_of
from harness.errors import PluginError, Problem, listed
from harness.registry import Owned
from harness.task import spec
from harness.task.claiming import claiming
from harness.task.file import is_builtin, tables
from harness.task.paths import locate, located
from harness.task.spec import TaskSpec
from harness.task.task import Entry, Instance
from harness.task.validate import validated

if TYPE_CHECKING:
    from harness.contract import Axes, Kind, Options
    from harness.registry import Registry
    from harness.task.file import Source
    from harness.task.tables import PluginSpec
    from harness.task.validate import KeyParts

Swept = Literal["directions", "statistics", "analyses"]
TABLES: Mapping[str, type[PluginSpec]] = {
    "models": spec.ModelSpec,
    "saes": spec.SaeSpec,
    "metrics": spec.MetricSpec,
    "evaluators": spec.EvaluatorSpec,
    "labels": spec.LabelsSpec,
    "observers": spec.ObserverSpec,
}
"""The tables whose entries each configure one component, in the order of their problems."""
SWEPT: Mapping[Swept, type[PluginSpec]] = {
    "directions": spec.DirectionSpec,
    "statistics": spec.StatisticSpec,
    "analyses": spec.AnalysisSpec,
}
"""The tables whose entries may be swept."""
Found = Owned | tuple[Problem, ...]
"""A component, or why there is none; nothing where something else reports it."""


@dataclass(frozen=True)
class Table:
    """A table that configures a component, as it was written."""

    core: type[PluginSpec]
    """The core's own keys; the component's options stand beside them."""
    name: str
    at: KeyParts
    """Where it stands in the task."""
    values: Any


@dataclass(frozen=True)
class Configured:
    """A table that configures a component, as far as it is understood."""

    table: Table
    problems: tuple[Problem, ...] = ()
    owner: Owned | None = None
    """The component."""
    model: type[Options] | None = None
    """The class of its options."""
    options: Any = None
    """Its options; None where they are not valid."""
    axes: Axes = field(default_factory=dict)
    """The values that a sweep gave it."""


def entries(found: Iterable[Configured]) -> dict[str, Entry[Any]]:
    """The entries with valid options, by name."""
    return {
        one.table.name: Entry(one.table.name, one.owner, one.options)
        for one in found
        if one.owner is not None and one.options is not None
    }


def swept_entries(found: Iterable[Configured]) -> dict[str, tuple[Entry[Any], ...]]:
    """The combinations of each swept entry that have valid options, by name."""
    by_name: dict[str, tuple[Entry[Any], ...]] = {}
    for one in found:
        if one.owner is not None and one.options is not None:
            entry = Entry(one.table.name, one.owner, one.options, one.axes)
            by_name[entry.name] = (*by_name.get(entry.name, ()), entry)
    return by_name


def instances(
    found: Iterable[Configured], table: Literal["directions", "statistics"]
) -> dict[str, tuple[Instance, ...]]:
    """Likewise of direction finders or statistics."""
    return {
        name: tuple(Instance(name, one.owner, one.options, one.axes, table) for one in many)
        for name, many in swept_entries(found).items()
    }


# ── Tables that a task writes ────────────────────────────────────────────────────────────────────


def configured_tables(source: Source, registry: Registry) -> dict[str, list[Configured]]:
    """Every table that configures a component, by the part of the task that it becomes.

    Interventions have the names of their experiments, edits those of their views.
    """

    def each(written: Iterator[Table]) -> list[Configured]:
        return [
            _with_options(source, _component(source, registry, table), table) for table in written
        ]

    swept: dict[str, list[Configured]] = {
        part: [*_swept(source, registry, part, core)] for part, core in SWEPT.items()
    }
    return {
        **{part: each(_entries(source, part, core)) for part, core in TABLES.items()},
        **swept,
        "executor": each(_alone(source, "executor", spec.ExecutorSpec)),
        "interventions": each(
            _inside(source, "experiments", "intervention", spec.InterventionSpec)
        ),
        "edits": each(_inside(source, "views", "edit", spec.EditSpec)),
    }


def _entries(source: Source, part: str, core: type[PluginSpec]) -> Iterator[Table]:
    for name, values in tables(source.values, part):
        yield Table(core, name, (part, name), values)


def _alone(source: Source, part: str, core: type[PluginSpec]) -> Iterator[Table]:
    """A part of a task that is one table, where it is there."""
    if part in source.values:
        yield Table(core, part, (part,), source.values[part])


def by_hand(source: Source, found: Iterable[Configured]) -> Iterator[Problem]:
    """What a task file says that only a person may say."""
    for one in found:
        fields = fields_of(one.model) if one.model and isinstance(one.table.values, dict) else {}
        for key, field_ in fields.items():
            marks = [mark for mark in field_.metadata if isinstance(mark, ByHand)]
            at = (*one.table.at, key)
            value = one.table.values.get(key)
            if not marks or value is None or source.origin(at).file is None:
                continue
            if value not in marks[0].harmless:
                allowed, named = listed(map(repr, marks[0].harmless)), ".".join(map(str, at))
                yield source.problem(
                    at,
                    "a task file may not say this, because it decides whose code runs here. "
                    f"Allowed in a file: {allowed}. Give it yourself: --set {named}=…, or your "
                    "configuration file.",
                )


def _inside(source: Source, part: str, key: str, core: type[PluginSpec]) -> Iterator[Table]:
    for name, values in tables(source.values, part):
        if isinstance(values, dict):
            yield Table(core, name, (part, name, key), values.get(key))


def _swept(
    source: Source, registry: Registry, part: Swept, core: type[PluginSpec]
) -> Iterator[Configured]:
    """Every entry of a table whose entries may be swept, once for each combination of values.

    Stops at the entry with which the combinations become more than `max_arms`.
    """
    most = source.values.get("max_arms", fields_of(TaskSpec)["max_arms"].default)
    arms = 0
    for table in _entries(source, part, core):
        owner = _component(source, registry, table)
        sweep = table.values.get("sweep", {}) if isinstance(table.values, dict) else None
        if isinstance(owner, tuple) or not isinstance(sweep, dict):
            yield Configured(table, owner if isinstance(owner, tuple) else ())
            continue
        choices = [many if isinstance(many, list) else [many] for many in sweep.values()]
        arms += math.prod(map(len, choices))
        if isinstance(most, int) and arms > most:
            what = (
                f"the sweeps so far come to {arms} {part}; "
                f"max_arms allows {most}. Raise max_arms to confirm."
            )
            yield Configured(table, (source.problem(table.at, what),))
            return
        for combination in itertools.product(*choices):
            axes = dict(zip(sweep, combination, strict=True))
            one = replace(table, values={**table.values, **axes})
            # Every value that is wrong is told; what is wrong without them is told once.
            yield replace(_with_options(source, owner, one), axes=axes)
        # Paths are looked for in the table itself, too, where the sweep replaces them.
        yield Configured(table, _unfound(source, owner, table))


def configured(source: Source, registry: Registry, part: str, name: str) -> Configured | None:
    """One entry of a table, as far as it is understood; None where there is no such entry."""
    values = source.values.get(part)
    if not isinstance(values, dict) or name not in values:
        return None
    core = next(one for key, one in (*TABLES.items(), *SWEPT.items()) if key == part)
    table = Table(core, name, (part, name), values[name])
    return _with_options(source, _component(source, registry, table), table)


# ── Components that a task names without a table ─────────────────────────────────────────────────


def implied_evaluators(source: Source, registry: Registry, task: TaskSpec) -> Iterator[Configured]:
    """Evaluators that experiments name and that have no table: those without options."""
    known = set(task.evaluators)
    for name, experiment in task.experiments.items():
        for index, evaluator in enumerate(experiment.evaluators):
            if evaluator not in known:
                at = ("experiments", name, "evaluators", index)
                one = _without_table(source, registry, Table(spec.EvaluatorSpec, evaluator, at, {}))
                known |= {evaluator} if one.options is not None else set()
                yield one


def preflight_metrics(source: Source, registry: Registry, task: TaskSpec) -> Iterator[Configured]:
    """The metrics of the preflight, with their default options."""
    at, preflight = ("preflight",), task.preflight
    if preflight is None:
        return
    written = dict(source.values["preflight"]).values()
    named = [one for value in written for one in (value if isinstance(value, list) else [value])]
    for name in (preflight.fvu, *preflight.also):
        default = name not in named
        one = _without_table(source, registry, Table(spec.MetricSpec, name, at, {}), default)
        if one.model is not None and one.options is None:
            what = f"{name} needs options of its own: {'; '.join(map(str, one.problems))}"
            one = replace(one, problems=(source.problem(at, what),))
        yield one


def _without_table(
    source: Source, registry: Registry, table: Table, ours: bool = False
) -> Configured:
    owner = _find(source, registry, table.core.kind, table.name, table.at, ours)
    return _with_options(source, owner, table)


# ── One table ────────────────────────────────────────────────────────────────────────────────────


def _component(source: Source, registry: Registry, table: Table) -> Found:
    """The component that a table names, or that is called like it.

    What is no table, and a name that is no text, the validation of the whole task reports.
    """
    key, values = table.core.key, table.values
    if not isinstance(values, dict):
        return ()
    if table.core is spec.SaeSpec and key not in values:
        return _claiming_format(source, registry, table)
    default = fields_of(table.core)[key].get_default()
    name = values.get(key, default or table.name)
    if not isinstance(name, str):
        return ()
    ours = key not in values and default is not None
    return _find(source, registry, table.core.kind, name, (*table.at, key), ours)


def _find(
    source: Source, registry: Registry, kind: Kind, name: str, at: KeyParts, ours: bool = False
) -> Found:
    """The component of a name; where two plugins have one, the built-in one if the name is our
    own: a default (`ours`), or written in a built-in task."""
    try:
        return registry.find(kind, name, ours=ours or _of_a_builtin(source, at))
    except PluginError as error:
        return (source.problem(at, str(error)),)


def _of_a_builtin(source: Source, at: KeyParts) -> bool:
    """Whether a key is written in a built-in task."""
    file = source.origin(at).file
    return file is not None and is_builtin(file)


def _claiming_format(source: Source, registry: Registry, table: Table) -> Found:
    """The one SAE format that claims the files; `format` decides where none or several do."""
    path, formats = table.values.get("path"), registry.of("sae_format")
    names = ", ".join(map(str, formats))
    if not isinstance(path, str):
        return (source.problem((*table.at, "format"), f"is missing. Allowed: {names}."),)
    local = locate(path, (*table.at, "path"), source, hub=True)
    if isinstance(local, Problem):
        return (local,)
    found = claiming(registry, local)
    claims = found.ours if _of_a_builtin(source, table.at) else found.formats
    if len(claims) == 1:
        return claims[0]
    who = " and ".join(map(str, claims)) or "no format"
    what = f"{who} claims {path!r}. Say which it is: format = one of {names}."
    if not claims:
        what = " ".join((what, *found.broken))
    return (source.problem(table.at, what),)


def _with_options(source: Source, owner: Found, table: Table) -> Configured:
    """A table with the options of its component, which stand beside the core's own keys."""
    if isinstance(owner, tuple):
        return Configured(table, owner)
    try:
        model = owner.options()
    except PluginError as error:
        return Configured(table, (source.problem(table.at, str(error)),))
    keys = fields_of(table.core)
    values, unfound = located(model, table.values, table.at, source)
    own = {key: value for key, value in values.items() if key not in keys}
    try:
        options, invalid = validated(model, own, source, table.at, tuple(keys))
    except OSError as error:  # of a check of the options that looks at a file
        # A name too long for any disk is among what was not found; it is said once.
        what = f"{str(error.filename)!r}: {error.strerror or error}."
        options, invalid = None, [] if unfound else [source.problem(table.at, what)]
    said = {problem.where for problem in unfound}
    rest = [problem for problem in invalid if problem.where not in said]
    return Configured(table, (*unfound, *rest), owner, model, options)


def _unfound(source: Source, owner: Owned, table: Table) -> tuple[Problem, ...]:
    """The paths of a table that are not there."""
    with suppress(PluginError):  # reported by its options
        return tuple(located(owner.options(), table.values, table.at, source)[1])
    return ()
