"""From a task as it was written to one that is understood.

`resolve` finds everything that is wrong with a task at once, and reads no weight.
"""

from __future__ import annotations

import copy
import datetime
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from harness.contract import (
    Kind,
    ModelFacts,
    Place,
    Ref,
    SaeFacts,
)
from harness.errors import HarnessError, PluginError, Problem, TaskError, unknown
from harness.registry import Owned, Registry, normalized
from harness.running.analyses import unknown_names
from harness.task.file import COMMAND_LINE, Source
from harness.task.fit import misfits
from harness.task.spec import (
    AnalysisSpec,
    DemonstrationsSpec,
    DirectionSpec,
    EditSpec,
    EvaluatorSpec,
    InterventionSpec,
    LabelsSpec,
    MetricSpec,
    ModelSpec,
    PluginSpec,
    PreflightSpec,
    SaeSpec,
    StatisticSpec,
    TaskSpec,
)
from harness.task.task import Entry, Instance, Task
from harness.task.validate import KeyParts, marks, validated


def resolve(source: Source, registry: Registry) -> Task:
    """The task that a source describes. Raises TaskError with everything that is wrong."""
    return _Resolver(source, registry).run()


_NAMED = {
    "models": "model",
    "views": "view",
    "saes": "SAE",
    "data": "data set",
    "directions": "direction",
    "pairs": "pair",
    "statistics": "statistic",
    "labels": "source of labels",
}
"""The tables whose entries are referred to by name, and what one of them is called."""


class _Resolver:
    """Collects problems while it goes on as far as it can."""

    def __init__(self, source: Source, registry: Registry) -> None:
        self.source = source
        self.registry = registry
        self.problems: list[Problem] = []
        self.configured: list[tuple[type[BaseModel], Any, KeyParts]] = []
        """Every table that configures a plugin, with the model of its options."""
        self.resolved: dict[str, Any] = copy.deepcopy(dict(source.values))

    def run(self) -> Task:
        self._requires()
        self._places(TaskSpec.model_fields["data"].annotation, "data")
        spec, problems = validated(TaskSpec, self.resolved, self.source)
        self.problems += problems
        parts: dict[str, Any] = {
            "models": self._table("models", "backend", ModelSpec, "backend"),
            "saes": self._table("saes", "sae_format", SaeSpec, "format"),
            "metrics": self._table("metrics", "metric", MetricSpec, "method"),
            "evaluators": self._table("evaluators", "evaluator", EvaluatorSpec, "method"),
            "analyses": self._table("analyses", "analysis", AnalysisSpec, "method"),
            "labels": self._table("labels", "labels", LabelsSpec, "method"),
            "directions": self._swept("directions", "direction", DirectionSpec),
            "statistics": self._swept("statistics", "statistic", StatisticSpec),
        }
        interventions = {}
        for name, table in self._tables("experiments"):
            at = ("experiments", name, "intervention")
            inner = table.get("intervention") if isinstance(table, dict) else None
            if inner is None:
                continue
            entry = self._entry("intervention", InterventionSpec, "method", name, at, inner)
            if entry:
                interventions[name] = entry
        parts["edits"] = self._edits()
        if spec is not None:
            self._implicit_evaluators(spec, parts["evaluators"])
            parts["preflight"] = self._preflight(spec)
        self._references()
        self._unusable((), self.resolved)
        if spec is None or self.problems:
            raise TaskError(self.problems)
        task = Task(self.source, spec, self.resolved, interventions=interventions, **parts)
        task = self._facts(task)
        if not self.problems:
            self.problems += [*misfits(task), *unknown_names(task)]
        if self.problems:
            raise TaskError(self.problems)
        return task

    def _unusable(self, at: KeyParts, value: Any) -> None:
        """What TOML allows and no key takes, as far as nothing is said of it yet."""
        if isinstance(value, (dict, list)):
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, inner in pairs:
                self._unusable((*at, key), inner)
            return
        what = ""
        if isinstance(value, (datetime.date, datetime.time)):
            what = f"{value} is a date or a time. Write it in quotes, as text."
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            what = "is beyond the integers of TOML, which have 64 bits."
        if what:
            problem = self.source.problem(at, what)
            if problem.where not in {known.where for known in self.problems}:
                self.problems.append(problem)

    # ── plugins and their options ──

    def _requires(self) -> None:
        from packaging.requirements import InvalidRequirement, Requirement

        wanted = self.resolved.get("requires", ())
        for index, text in enumerate(wanted if isinstance(wanted, list) else ()):
            at = ("requires", index)
            try:
                requirement = Requirement(str(text))
            except InvalidRequirement:
                self._problem(at, f"{text!r} is no requirement such as 'acme-harness>=0.3'.")
                continue
            owners = [
                plugin
                for plugin in self.registry.plugins
                if normalized(plugin.distribution) == normalized(requirement.name)
            ]
            if idle := [plugin for plugin in owners if plugin.status != "ready"]:
                what = f"{idle[0].name} is {idle[0].status}: {idle[0].reason}"
                self._problem(at, f"{requirement.name} cannot be used: {what}.")
            elif not owners:
                self._problem(
                    at,
                    f"no plugin of {requirement.name!r} is installed. Run: pip install '{text}'.",
                )
            elif not requirement.specifier.contains(owners[0].version, prereleases=True):
                self._problem(
                    at,
                    f"{requirement.name} {owners[0].version} is installed. "
                    f"Run: pip install '{text}'.",
                )

    def _table(
        self, table: str, kind: Kind, spec: type[PluginSpec], key: str
    ) -> dict[str, Entry[Any]]:
        found = {}
        for name, values in self._tables(table):
            entry = self._entry(kind, spec, key, name, (table, name), values)
            if entry:
                found[name] = entry
        return found

    def _entry(
        self, kind: Kind, spec: type[PluginSpec], key: str, name: str, at: KeyParts, values: Any
    ) -> Entry[Any] | None:
        if not isinstance(values, dict):
            return None  # the core's own validation says so
        owner = self._owner(kind, spec, key, name, at, values)
        if owner is None:
            return None
        options = self._options(owner, spec, at, values)
        return Entry(name, owner, options) if options is not None else None

    def _owner(
        self,
        kind: Kind,
        spec: type[PluginSpec],
        key: str,
        name: str,
        at: KeyParts,
        values: dict[str, Any],
    ) -> Owned | None:
        method = values.get(key, spec.model_fields[key].get_default() or name)
        if kind == "sae_format" and key not in values:
            return self._claimed(at, values)
        if not isinstance(method, str):
            return None
        try:
            return self.registry.find(kind, method)
        except PluginError as error:
            self._problem((*at, key), str(error))
            return None

    def _claimed(self, at: KeyParts, values: dict[str, Any]) -> Owned | None:
        """The one SAE format that claims the files; `format` decides where none or several do."""
        path = values.get("path")
        formats = self.registry.of("sae_format")
        names = [str(owner) for owner in formats]
        if not isinstance(path, str):
            self._problem((*at, "format"), f"is missing. Allowed: {', '.join(names)}.")
            return None
        local = self._place(path, Place(hub=True), (*at, "path"))
        claims = [o for o in formats if local and o.options().claims(local)]  # type: ignore[attr-defined]
        if local and len(claims) != 1:
            who = "no format" if not claims else " and ".join(map(str, claims))
            self._problem(
                at, f"{who} claims {path!r}. Say which it is: format = one of {', '.join(names)}."
            )
        return claims[0] if len(claims) == 1 else None

    def _options(
        self, owner: Owned, spec: type[PluginSpec], at: KeyParts, values: dict[str, Any]
    ) -> Any:
        try:
            model = owner.options()
        except PluginError as error:
            self._problem(at, str(error))
            return None
        self.configured.append((model, values, at))
        self._resolve_places(model, values, at)
        rest = {key: value for key, value in values.items() if key not in spec.model_fields}
        options, problems = validated(model, rest, self.source, at, tuple(spec.model_fields))
        self.problems += problems
        return options

    def _swept(
        self, table: Literal["directions", "statistics"], kind: Kind, spec: type[PluginSpec]
    ) -> dict[str, tuple[Instance, ...]]:
        found: dict[str, tuple[Instance, ...]] = {}
        arms = 0
        for name, values in self._tables(table):
            at = (table, name)
            required = spec.model_fields["method"].is_required()
            if not isinstance(values, dict) or (required and "method" not in values):
                continue
            owner = self._owner(kind, spec, "method", name, at, values)
            sweep = values.get("sweep", {})
            if owner is None or not isinstance(sweep, dict):
                continue
            lists = [many if isinstance(many, list) else [many] for many in sweep.values()]
            count = 1
            for many in lists:
                count *= len(many)
            arms += count
            most = self.resolved.get("max_arms", TaskSpec.model_fields["max_arms"].default)
            if isinstance(most, int) and arms > most:
                self._problem(
                    at,
                    f"the sweeps so far come to {arms} {table}; "
                    f"max_arms allows {most}. Raise max_arms to confirm.",
                )
                return found
            instances = []
            for combination in itertools.product(*lists):
                axes = dict(zip(sweep, combination, strict=True))
                options = self._options(owner, spec, at, {**values, **axes})
                if options is None:
                    break
                instances.append(Instance(name, owner, options, axes, table))
            # Places were resolved in a copy when a sweep added keys; write them back once.
            self._resolve_places(owner.options(), values, at)
            if instances:
                found[name] = tuple(instances)
        return found

    def _edits(self) -> dict[str, Entry[Any]]:
        found = {}
        for name, table in self._tables("views"):
            inner = table.get("edit") if isinstance(table, dict) else None
            if isinstance(inner, dict) and isinstance(inner.get("method"), str):
                at = ("views", name, "edit")
                entry = self._entry("intervention", EditSpec, "method", name, at, inner)
                if entry:
                    found[name] = entry
        return found

    def _implicit_evaluators(self, spec: TaskSpec, known: dict[str, Entry[Any]]) -> None:
        """Evaluators without options need no table of their own."""
        for name, experiment in spec.experiments.items():
            for index, evaluator in enumerate(experiment.evaluators):
                if evaluator in spec.evaluators or evaluator in known:
                    continue
                at = ("experiments", name, "evaluators", index)
                try:
                    owner = self.registry.find("evaluator", evaluator)
                except PluginError as error:
                    self._problem(at, str(error))
                    continue
                options = self._options(owner, EvaluatorSpec, at, {})
                if options is not None:
                    known[evaluator] = Entry(evaluator, owner, options)

    def _preflight(self, spec: TaskSpec) -> dict[str, Entry[Any]]:
        found = {}
        for name in (spec.preflight.fvu, *spec.preflight.also) if spec.preflight else ():
            try:
                owner = self.registry.find("metric", name)
            except PluginError as error:
                self._problem(("preflight",), str(error))
                continue
            options, problems = validated(owner.options(), {}, self.source, ("preflight",))
            if options is None:
                what = "; ".join(map(str, problems))
                self._problem(("preflight",), f"{name} needs options of its own: {what}")
            else:
                found[name] = Entry(name, owner, options)
        return found

    # ── places ──

    def _places(self, annotation: Any, table: str) -> None:
        model = annotation.__args__[1]
        for name, values in self._tables(table):
            if isinstance(values, dict):
                self._resolve_places(model, values, (table, name))

    def _resolve_places(self, model: type[BaseModel], values: dict[str, Any], at: KeyParts) -> None:
        for key, mark in marks(model):
            if isinstance(mark, Place) and isinstance(values.get(key), str):
                place = self._place(values[key], mark, (*at, key))
                values[key] = place or values[key]

    def _place(self, text: str, mark: Place, at: KeyParts) -> str | None:
        """An absolute path, or a hub id as it is; None with a problem where there is neither."""
        origin = self.source.origin(at)
        folder = origin.file.parent if origin.file else Path.cwd()
        try:
            path = (folder / Path(text).expanduser()).resolve()
            if path.exists():
                return str(path)
            beside = (folder / text.partition("/")[0]).exists()
        except (OSError, ValueError, RuntimeError):
            beside = True
        looks_like_id = re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", text)
        if mark.hub and looks_like_id and not beside:
            return text
        base = "the working folder" if str(origin) == COMMAND_LINE else str(folder)
        what = "no such file or folder" + (", and it is no hub id" if mark.hub else "")
        self._problem(at, f"{text!r}: {what}. Paths are relative to {base}.")
        return None

    # ── references and facts ──

    def _references(self) -> None:
        """Names that nothing has, looked up in the task as it was written: however much else is
        wrong, these are found too."""
        named = {table: set(dict(self._tables(table))) for table in _NAMED}
        tables: dict[str, type[BaseModel]] = {
            name: field.annotation.__args__[1]  # type: ignore[union-attr]
            for name, field in TaskSpec.model_fields.items()
            if getattr(field.annotation, "__origin__", None) is dict
        }
        places = list(self.configured)
        for table, model in tables.items():
            places += [(model, values, (table, name)) for name, values in self._tables(table)]
        for name, view in self._tables("views"):
            prompt = view.get("prompt") if isinstance(view, dict) else None
            inner = prompt.get("demonstrations") if isinstance(prompt, dict) else None
            edit = view.get("edit") if isinstance(view, dict) else None
            places.append((EditSpec, edit, ("views", name, "edit")))
            places.append((DemonstrationsSpec, inner, ("views", name, "prompt", "demonstrations")))
        places.append((PreflightSpec, self.resolved.get("preflight"), ("preflight",)))
        for model, values, at in places:
            for key, mark in marks(model):
                value = values.get(key) if isinstance(values, dict) else None
                if not isinstance(mark, Ref) or mark.table not in named:
                    continue
                for word in value if isinstance(value, list) else [value]:
                    if isinstance(word, str) and word not in named[mark.table]:
                        what = unknown(_NAMED[mark.table], word, named[mark.table])
                        self._problem((*at, key), what)

    def _facts(self, task: Task) -> Task:
        models: dict[str, ModelFacts] = {}
        saes: dict[str, SaeFacts] = {}
        for name, model in task.models.items():
            facts = self._describe(model, ("models", name)) or ModelFacts()
            expect = task.spec.models[name].expect.model_dump(exclude_none=True)
            self._contradictions(facts, expect, ("models", name, "expect"))
            models[name] = replace(facts, **expect)
        for name, sae in task.saes.items():
            found = self._describe(sae, ("saes", name)) or SaeFacts()
            expected = task.spec.saes[name].expect.model_dump(exclude_none=True)
            self._contradictions(found, expected, ("saes", name, "expect"))
            saes[name] = replace(found, **expected)
        return replace(task, model_facts=models, facts_of_saes=saes)

    def _describe(self, entry: Entry[Any], at: KeyParts) -> Any:
        try:
            return entry.options.describe()
        except HarnessError as error:
            self._problem(at, str(error))
            return None

    def _contradictions(self, facts: Any, expect: Mapping[str, Any], at: KeyParts) -> None:
        for key, value in expect.items():
            found = getattr(facts, key, None)
            if found is not None and found != value:
                self._problem((*at, key), f"{value} was expected, but the files say {found}.")

    # ── small things ──

    def _tables(self, table: str) -> Iterator[tuple[str, Any]]:
        values = self.resolved.get(table)
        if isinstance(values, dict):
            yield from values.items()

    def _problem(self, at: Sequence[str | int], what: str) -> None:
        self.problems.append(self.source.problem(at, what))
