"""The tables of a task that configure a component: which one, and with which options.

Every `Table`, as it was written, becomes a `Configured`: what is understood of it, and what is
wrong with it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.contract import Axes, Kind, Options
from harness.errors import PluginError, Problem
from harness.registry import Owned, Registry
from harness.task.file import Source, tables
from harness.task.paths import locate, located
from harness.task.spec import (
    EditSpec,
    EvaluatorSpec,
    InterventionSpec,
    MetricSpec,
    PluginSpec,
    SaeSpec,
    TaskSpec,
)
from harness.task.task import Entry, Instance
from harness.task.validate import KeyParts, validated

Swept = Literal["directions", "statistics"]
Found = tuple[Owned | None, tuple[Problem, ...]]
"""A component, or why there is none."""


@dataclass(frozen=True)
class Table:
    """A table that configures a component, as it was written."""

    spec: type[PluginSpec]
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


def instances(found: Iterable[Configured], table: Swept) -> dict[str, tuple[Instance, ...]]:
    """The combinations of each swept entry that have valid options, by name."""
    by_name: dict[str, tuple[Instance, ...]] = {}
    for one in found:
        if one.owner is not None and one.options is not None:
            name = one.table.name
            instance = Instance(name, one.owner, one.options, one.axes, table)
            by_name[name] = (*by_name.get(name, ()), instance)
    return by_name


# ── Tables that a task writes ────────────────────────────────────────────────────────────────────


def written(source: Source, table: str, spec: type[PluginSpec]) -> Iterator[Table]:
    """The entries of a table whose entries each configure one component."""
    for name, values in tables(source.values, table):
        yield Table(spec, name, (table, name), values)


def interventions(source: Source) -> Iterator[Table]:
    """The intervention of each experiment, under the name of the experiment."""
    yield from _inside(source, "experiments", "intervention", InterventionSpec)


def edits(source: Source) -> Iterator[Table]:
    """The intervention under which each view reads, under the name of the view."""
    yield from _inside(source, "views", "edit", EditSpec)


def _inside(source: Source, table: str, key: str, spec: type[PluginSpec]) -> Iterator[Table]:
    for name, values in tables(source.values, table):
        if isinstance(values, dict):
            yield Table(spec, name, (table, name, key), values.get(key))


def configured(source: Source, registry: Registry, table: Table) -> Configured:
    """Finds the component that a table configures, and validates its options."""
    owner, problems = _component(source, registry, table)
    return _with_options(source, owner, table) if owner else Configured(table, problems)


def swept(
    source: Source, registry: Registry, name: Swept, spec: type[PluginSpec]
) -> Iterator[Configured]:
    """Every entry of a table whose entries may be swept, once for each combination of values.

    Stops at the entry with which the combinations become more than `max_arms`.
    """
    most = source.values.get("max_arms", TaskSpec.model_fields["max_arms"].default)
    arms = 0
    for table in written(source, name, spec):
        owner, problems = _component(source, registry, table)
        sweep = table.values.get("sweep", {}) if isinstance(table.values, dict) else None
        if owner is None or not isinstance(sweep, dict):
            yield Configured(table, problems)
            continue
        choices = [many if isinstance(many, list) else [many] for many in sweep.values()]
        arms += math.prod(map(len, choices))
        if isinstance(most, int) and arms > most:
            what = (
                f"the sweeps so far come to {arms} {name}; "
                f"max_arms allows {most}. Raise max_arms to confirm."
            )
            yield Configured(table, (source.problem(table.at, what),))
            return
        for combination in itertools.product(*choices):
            axes = dict(zip(sweep, combination, strict=True))
            one = replace(table, values={**table.values, **axes})
            found = replace(_with_options(source, owner, one), axes=axes)
            yield found
            if found.options is None:
                break
        # Paths are looked for in the table itself, too, where the sweep replaces them.
        yield Configured(table, _unfound(source, owner, table))


# ── Components that a task names without a table ─────────────────────────────────────────────────


def implied_evaluators(source: Source, registry: Registry, spec: TaskSpec) -> Iterator[Configured]:
    """Evaluators that experiments name and that have no table: those without options."""
    known = set(spec.evaluators)
    for name, experiment in spec.experiments.items():
        for index, evaluator in enumerate(experiment.evaluators):
            if evaluator not in known:
                at = ("experiments", name, "evaluators", index)
                one = _without_table(source, registry, Table(EvaluatorSpec, evaluator, at, {}))
                known |= {evaluator} if one.options is not None else set()
                yield one


def preflight_metrics(source: Source, registry: Registry, spec: TaskSpec) -> Iterator[Configured]:
    """The metrics of the preflight, with their default options."""
    at = ("preflight",)
    for name in (spec.preflight.fvu, *spec.preflight.also) if spec.preflight else ():
        one = _without_table(source, registry, Table(MetricSpec, name, at, {}))
        if one.model is not None and one.options is None:
            what = f"{name} needs options of its own: {'; '.join(map(str, one.problems))}"
            one = replace(one, problems=(source.problem(at, what),))
        yield one


def _without_table(source: Source, registry: Registry, table: Table) -> Configured:
    owner, problems = _find(source, registry, table.spec.kind, table.name, table.at)
    return _with_options(source, owner, table) if owner else Configured(table, problems)


# ── One table ────────────────────────────────────────────────────────────────────────────────────


def _component(source: Source, registry: Registry, table: Table) -> Found:
    """The component that a table names, or that is called like it; None where none is found.

    What is no table, and a name that is no text, the validation of the whole task reports.
    """
    key, values = table.spec.key, table.values
    if not isinstance(values, dict):
        return None, ()
    if table.spec is SaeSpec and key not in values:
        return _claiming_format(source, registry, table)
    name = values.get(key, table.spec.model_fields[key].get_default() or table.name)
    if not isinstance(name, str):
        return None, ()
    return _find(source, registry, table.spec.kind, name, (*table.at, key))


def _find(source: Source, registry: Registry, kind: Kind, name: str, at: KeyParts) -> Found:
    try:
        return registry.find(kind, name), ()
    except PluginError as error:
        return None, (source.problem(at, str(error)),)


def _claiming_format(source: Source, registry: Registry, table: Table) -> Found:
    """The one SAE format that claims the files; `format` decides where none or several do."""
    path, formats = table.values.get("path"), registry.of("sae_format")
    names = ", ".join(map(str, formats))
    if not isinstance(path, str):
        what = f"is missing. Allowed: {names}."
        return None, (source.problem((*table.at, "format"), what),)
    local = locate(path, (*table.at, "path"), source, hub=True)
    if isinstance(local, Problem):
        return None, (local,)
    claims = [one for one in formats if one.options().claims(local)]  # type: ignore[attr-defined]
    if len(claims) == 1:
        return claims[0], ()
    who = " and ".join(map(str, claims)) or "no format"
    what = f"{who} claims {path!r}. Say which it is: format = one of {names}."
    return None, (source.problem(table.at, what),)


def _with_options(source: Source, owner: Owned, table: Table) -> Configured:
    """A table with the options of its component, which stand beside the core's own keys."""
    try:
        model = owner.options()
    except PluginError as error:
        return Configured(table, (source.problem(table.at, str(error)),))
    core = table.spec.model_fields
    values, unfound = located(model, table.values, table.at, source)
    own = {key: value for key, value in values.items() if key not in core}
    options, invalid = validated(model, own, source, table.at, tuple(core))
    return Configured(table, (*unfound, *invalid), owner, model, options)


def _unfound(source: Source, owner: Owned, table: Table) -> tuple[Problem, ...]:
    """The paths of a table that are not there."""
    with suppress(PluginError):  # reported by its options
        return tuple(located(owner.options(), table.values, table.at, source)[1])
    return ()
