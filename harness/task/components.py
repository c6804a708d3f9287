"""The tables of a task that configure a component: which one, and with which options.

Every table becomes a `Configured`: what could be understood of it, and what is wrong with it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.contract import Axes, Kind, Options, SaeOptions
from harness.errors import PluginError, Problem
from harness.registry import Owned, Registry
from harness.task.file import Source
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


@dataclass(frozen=True)
class Configured:
    """A table that configures a component, as far as it could be understood."""

    name: str
    at: KeyParts
    """Where it stands in the task."""
    problems: tuple[Problem, ...] = ()
    owner: Owned | None = None
    """The component."""
    model: type[Options] | None = None
    """The class of its options."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """The table, with absolute paths."""
    options: Any = None
    """Its options; None where they are not valid."""
    axes: Axes = field(default_factory=dict)
    """The values that a sweep gave it."""


def tables(values: Mapping[str, Any], table: str) -> Iterator[tuple[str, Any]]:
    """The entries of a table of a task as it was written; nothing where it is no table."""
    entries = values.get(table)
    if isinstance(entries, dict):
        yield from entries.items()


# ── Tables that a task writes ────────────────────────────────────────────────────────────────────


def configured(
    source: Source, registry: Registry, table: str, spec: type[PluginSpec]
) -> Iterator[Configured]:
    """Every entry of a table whose entries each configure one component."""
    for name, values in tables(source.values, table):
        yield _configured(source, registry, spec, name, (table, name), values)


def swept(
    source: Source,
    registry: Registry,
    table: Literal["directions", "statistics"],
    spec: type[PluginSpec],
) -> Iterator[Configured]:
    """Every entry of a table whose entries may be swept, once for each combination of values.

    Stops at the entry with which the combinations become more than `max_arms`.
    """
    most = source.values.get("max_arms", TaskSpec.model_fields["max_arms"].default)
    arms = 0
    for name, values in tables(source.values, table):
        at = (table, name)
        sweep = values.get("sweep", {}) if isinstance(values, dict) else None
        owner, problems = _component(source, registry, spec, name, at, values)
        if owner is None or not isinstance(sweep, dict):
            yield Configured(name, at, problems)
            continue
        choices = [many if isinstance(many, list) else [many] for many in sweep.values()]
        arms += math.prod(map(len, choices))
        if isinstance(most, int) and arms > most:
            what = (
                f"the sweeps so far come to {arms} {table}; "
                f"max_arms allows {most}. Raise max_arms to confirm."
            )
            yield Configured(name, at, (source.problem(at, what),))
            return
        for combination in itertools.product(*choices):
            axes = dict(zip(sweep, combination, strict=True))
            one = _with_options(source, owner, spec, name, at, {**values, **axes})
            yield replace(one, axes=axes)
            if one.options is None:
                break
        yield _unswept_paths(source, owner, name, at, values)


def interventions(source: Source, registry: Registry) -> Iterator[Configured]:
    """The intervention of each experiment, under the name of the experiment."""
    for name, table in tables(source.values, "experiments"):
        if isinstance(table, dict):
            at = ("experiments", name, "intervention")
            inner = table.get("intervention")
            yield _configured(source, registry, InterventionSpec, name, at, inner)


def edits(source: Source, registry: Registry) -> Iterator[Configured]:
    """The intervention under which a view reads, under the name of the view."""
    for name, table in tables(source.values, "views"):
        if isinstance(table, dict):
            at = ("views", name, "edit")
            yield _configured(source, registry, EditSpec, name, at, table.get("edit"))


# ── Components that a task names without a table ─────────────────────────────────────────────────


def implied_evaluators(source: Source, registry: Registry, spec: TaskSpec) -> Iterator[Configured]:
    """Evaluators that experiments name and that have no table: those without options."""
    known = set(spec.evaluators)
    for name, experiment in spec.experiments.items():
        for index, evaluator in enumerate(experiment.evaluators):
            if evaluator in known:
                continue
            at = ("experiments", name, "evaluators", index)
            one = _without_table(source, registry, EvaluatorSpec, evaluator, at)
            if one.options is not None:
                known.add(evaluator)
            yield one


def preflight_metrics(source: Source, registry: Registry, spec: TaskSpec) -> Iterator[Configured]:
    """The metrics of the preflight, with their default options."""
    at = ("preflight",)
    for name in (spec.preflight.fvu, *spec.preflight.also) if spec.preflight else ():
        one = _without_table(source, registry, MetricSpec, name, at)
        if one.model is not None and one.options is None:
            what = f"{name} needs options of its own: {'; '.join(map(str, one.problems))}"
            one = replace(one, problems=(source.problem(at, what),))
        yield one


# ── What they become in the resolved task ────────────────────────────────────────────────────────


def entries(found: Iterable[Configured]) -> dict[str, Entry[Any]]:
    """The entries with valid options, by name."""
    return {
        one.name: Entry(one.name, one.owner, one.options)
        for one in found
        if one.owner is not None and one.options is not None
    }


def instances(
    found: Iterable[Configured], table: Literal["directions", "statistics"]
) -> dict[str, tuple[Instance, ...]]:
    """The combinations of each swept entry that have valid options, by name."""
    by_name: dict[str, tuple[Instance, ...]] = {}
    for one in found:
        if one.owner is not None and one.options is not None:
            instance = Instance(one.name, one.owner, one.options, one.axes, table)
            by_name[one.name] = (*by_name.get(one.name, ()), instance)
    return by_name


# ── One table ────────────────────────────────────────────────────────────────────────────────────


def _configured(
    source: Source,
    registry: Registry,
    spec: type[PluginSpec],
    name: str,
    at: KeyParts,
    values: Any,
) -> Configured:
    owner, problems = _component(source, registry, spec, name, at, values)
    if owner is None:
        return Configured(name, at, problems)
    return _with_options(source, owner, spec, name, at, values)


def _without_table(
    source: Source, registry: Registry, spec: type[PluginSpec], name: str, at: KeyParts
) -> Configured:
    owner, problems = _find(source, registry, spec.kind, name, at)
    if owner is None:
        return Configured(name, at, problems)
    return _with_options(source, owner, spec, name, at, {})


def _component(
    source: Source,
    registry: Registry,
    spec: type[PluginSpec],
    name: str,
    at: KeyParts,
    values: Any,
) -> tuple[Owned | None, tuple[Problem, ...]]:
    """The component that a table names, or that is called like it; None where none is found.

    What is no table, and a name that is no text, the validation of the whole task reports.
    """
    if not isinstance(values, dict):
        return None, ()
    if spec is SaeSpec and spec.key not in values:
        return _claiming_format(source, registry, at, values)
    method = values.get(spec.key, spec.model_fields[spec.key].get_default() or name)
    if not isinstance(method, str):
        return None, ()
    return _find(source, registry, spec.kind, method, (*at, spec.key))


def _find(
    source: Source, registry: Registry, kind: Kind, name: str, at: KeyParts
) -> tuple[Owned | None, tuple[Problem, ...]]:
    try:
        return registry.find(kind, name), ()
    except PluginError as error:
        return None, (source.problem(at, str(error)),)


def _claiming_format(
    source: Source, registry: Registry, at: KeyParts, values: Mapping[str, Any]
) -> tuple[Owned | None, tuple[Problem, ...]]:
    """The one SAE format that claims the files; `format` decides where none or several do."""
    path = values.get("path")
    formats = registry.of("sae_format")
    names = ", ".join(map(str, formats))
    if not isinstance(path, str):
        return None, (source.problem((*at, "format"), f"is missing. Allowed: {names}."),)
    local = locate(path, (*at, "path"), source, hub=True)
    if isinstance(local, Problem):
        return None, (local,)
    claims = [owner for owner in formats if _sae_options(owner).claims(local)]
    if len(claims) == 1:
        return claims[0], ()
    who = " and ".join(map(str, claims)) or "no format"
    what = f"{who} claims {path!r}. Say which it is: format = one of {names}."
    return None, (source.problem(at, what),)


def _sae_options(owner: Owned) -> type[SaeOptions]:
    return owner.options()  # type: ignore[return-value]


def _with_options(
    source: Source,
    owner: Owned,
    spec: type[PluginSpec],
    name: str,
    at: KeyParts,
    values: Mapping[str, Any],
) -> Configured:
    """A table with the options of its component, which stand beside the core's own keys."""
    try:
        model = owner.options()
    except PluginError as error:
        return Configured(name, at, (source.problem(at, str(error)),))
    found, unfound = located(model, values, at, source)
    own = {key: value for key, value in found.items() if key not in spec.model_fields}
    options, invalid = validated(model, own, source, at, tuple(spec.model_fields))
    return Configured(name, at, (*unfound, *invalid), owner, model, found, options)


def _unswept_paths(
    source: Source, owner: Owned, name: str, at: KeyParts, values: Mapping[str, Any]
) -> Configured:
    """The paths of a swept table as they were written, also where the sweep replaces them."""
    try:
        return Configured(name, at, tuple(located(owner.options(), values, at, source)[1]))
    except PluginError:
        return Configured(name, at)  # reported by its options
