"""Resolves a task: from what was written to entries with plugins, options, paths and facts.

`resolve` finds everything that is wrong with a task at once, and reads no weight.
"""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from harness.contract import ModelFacts, SaeFacts
from harness.errors import HarnessError, TaskError
from harness.registry import normalized
from harness.task.checkpoints import with_checkpoints
from harness.task.components import (
    by_hand,
    configured_tables,
    entries,
    implied_evaluators,
    instances,
    preflight_metrics,
    swept_entries,
)
from harness.task.data_spec import DataSpec
from harness.task.fanned import fanned
from harness.task.file import leaves, tables
from harness.task.fit import misfits
from harness.task.local import with_local_plugins
from harness.task.paths import located
from harness.task.references import unknown_names, unknown_references
from harness.task.spec import TaskSpec
from harness.task.stream_edits import with_stream_edits
from harness.task.task import Task
from harness.task.trust import Trust
from harness.task.validate import validated

if TYPE_CHECKING:
    from harness.errors import Problem
    from harness.registry import Registry
    from harness.task.components import (
        Configured,
    )
    from harness.task.file import Source
    from harness.task.task import Entry

F = TypeVar("F", ModelFacts, SaeFacts)


def resolve(source: Source, registry: Registry, trust: Trust | None = None) -> Task:
    """Resolves the task that a source describes.

    `trust` says which of the task's own files may run; without it, those that are remembered.

    Raises TaskError with everything that is wrong with it. Whether its parts fit each other is
    asked only when each of them is understood.
    """
    registry, local = with_local_plugins(source, registry, trust or Trust())
    source, folders, amiss = with_checkpoints(source, registry)
    if amiss:
        raise TaskError(amiss)  # all else depends on which checkpoints there are
    out = fanned(source, registry, folders)
    source = out.source
    values, unfound = _with_data(source)
    spec, invalid = validated(TaskSpec, values, source)
    found = configured_tables(source, registry)
    written = [*chain.from_iterable(found.values())]
    implied = [*implied_evaluators(source, registry, spec)] if spec else []
    preflight = [*preflight_metrics(source, registry, spec)] if spec else []
    problems = [
        *unmet_requirements(source, registry),
        *out.problems,
        *unfound,
        *invalid,
        *(problem for one in [*written, *implied, *preflight] for problem in one.problems),
        *by_hand(source, found["executor"]),
    ]
    # What is not of its type is no name either, and is wrong once.
    reported = {problem.where for problem in problems}
    problems += [p for p in unknown_references(source, written) if p.where not in reported]
    problems += _unwritable(source, {problem.where for problem in problems})
    if spec is None or problems:
        raise TaskError(problems)
    parts: dict[str, Any] = {part: entries(many) for part, many in found.items()}
    parts |= {part: instances(found[part], part) for part in ("directions", "statistics")}
    parts["analyses"] = swept_entries(found["analyses"])
    parts["evaluators"] |= entries(implied)
    parts["executor"] = parts["executor"].get("executor")
    resolved = _with_paths(source, values, written)
    for who in ("observers", "executor"):
        resolved.pop(who, None)
    if local:
        resolved["plugins"] = [str(plugin.code.file) for plugin in local if plugin.code]
    task = Task(
        source, spec, resolved, preflight=entries(preflight), local=local, folders=folders,
        made_metrics=out.metrics, **parts,
    )  # fmt: skip
    task, problems = _with_facts(task)
    problems = problems or [*misfits(task), *unknown_names(task)]
    if not problems:
        task, problems = with_stream_edits(task, registry)
    if problems:
        raise TaskError(problems)
    return task


def unmet_requirements(source: Source, registry: Registry) -> Iterator[Problem]:
    """What of `requires` is not installed, is too old, or cannot be used."""
    wanted = source.values.get("requires", ())
    if not wanted:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    for index, text in enumerate(wanted if isinstance(wanted, list) else ()):
        at = ("requires", index)
        try:
            requirement = Requirement(str(text))
        except InvalidRequirement:
            yield source.problem(at, f"{text!r} is no requirement such as 'acme-harness>=0.3'.")
            continue
        name = normalized(requirement.name)
        installed = [one for one in registry.plugins if one.code is None]
        owners = [one for one in installed if normalized(one.distribution) == name]
        idle = [one for one in owners if one.status != "ready"]
        install = f"Run: pip install '{text}'."
        if idle:
            why = f"{idle[0].name} is {idle[0].status}: {idle[0].reason}"
            yield source.problem(at, f"{requirement.name} cannot be used: {why}.")
        elif not owners:
            yield source.problem(at, f"no plugin of {requirement.name!r} is installed. {install}")
        elif not requirement.specifier.contains(owners[0].version, prereleases=True):
            what = f"{requirement.name} {owners[0].version} is installed. {install}"
            yield source.problem(at, what)


# ── Paths ────────────────────────────────────────────────────────────────────────────────────────


def _with_data(source: Source) -> tuple[dict[str, Any], list[Problem]]:
    """The values of a task with the paths of its data made absolute, and those not found."""
    values = copy.deepcopy(dict(source.values))
    problems: list[Problem] = []
    for name, table in tables(values, "data"):
        if isinstance(table, dict):
            found, unfound = located(DataSpec, table, ("data", name), source)
            table.update(found)
            problems += unfound
    return values, problems


def _with_paths(
    source: Source, values: Mapping[str, Any], found: Iterable[Configured]
) -> dict[str, Any]:
    """The values of a task with the paths in all tables that configure a component absolute."""
    resolved = copy.deepcopy(dict(values))
    for one in found:
        if one.model is not None:
            table: Any = resolved
            for part in one.table.at:
                table = table[part]
            table.update(located(one.model, table, one.table.at, source)[0])
    return resolved


# ── Values that TOML allows and no key takes ─────────────────────────────────────────────────────


def _unwritable(source: Source, reported: set[str]) -> Iterator[Problem]:
    """Dates, times and integers that are too large, where nothing else is `reported`."""
    for at, value in leaves(source.values):
        what = ""
        if isinstance(value, (datetime.date, datetime.time)):
            what = f"{value} is a date or a time. Write it in quotes, as text."
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            what = "is beyond the integers of TOML, which have 64 bits."
        if what and (problem := source.problem(at, what)).where not in reported:
            yield problem


# ── Facts ────────────────────────────────────────────────────────────────────────────────────────


def _with_facts(task: Task) -> tuple[Task, list[Problem]]:
    """The task with what configuration files and `expect` tell of its models and SAEs."""
    models, wrong = _facts(task.source, "models", task.models, task.spec.models, ModelFacts())
    saes, more = _facts(task.source, "saes", task.saes, task.spec.saes, SaeFacts())
    return replace(task, model_facts=models, facts_of_saes=saes), [*wrong, *more]


def _facts(
    source: Source,
    table: str,
    described: Mapping[str, Entry[Any]],
    specs: Mapping[str, Any],
    nothing: F,
) -> tuple[dict[str, F], list[Problem]]:
    """The facts of each entry of a table, where those that are expected win.

    A problem is an entry that cannot be described, or of which its files say something else than
    the task expects.
    """
    facts: dict[str, F] = {}
    problems: list[Problem] = []
    for name, entry in described.items():
        try:
            found: F = entry.options.describe() or nothing
        except HarnessError as error:
            problems.append(source.problem((table, name), str(error)))
            found = nothing
        expected = specs[name].expect.model_dump(exclude_none=True)
        for key, value in expected.items():
            if (told := getattr(found, key, None)) not in (None, value):
                what = f"{value} was expected, but the files say {told}."
                problems.append(source.problem((table, name, "expect", key), what))
        facts[name] = replace(found, **expected)
    return facts, problems
