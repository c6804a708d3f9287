"""A task that has been understood: every entry with its plugin, typed options and facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from harness.contract import (
    AnalysisOptions,
    Axes,
    BackendOptions,
    DirectionOptions,
    EvaluatorOptions,
    InterventionOptions,
    LabelsOptions,
    MetricOptions,
    ModelFacts,
    Options,
    ReductionOptions,
    SaeFacts,
    SaeOptions,
    Site,
    Stream,
    Where,
)
from harness.contract.sites import parse_site
from harness.registry import Owned
from harness.task.file import Source
from harness.task.spec import TaskSpec

O_ = TypeVar("O_", bound=Options)


@dataclass(frozen=True)
class Entry(Generic[O_]):
    """An entry of a task's table with the component that it configures."""

    name: str
    owner: Owned
    options: O_

    def build(self) -> Any:
        """The object itself; this imports what it needs."""
        return self.owner.load()(self.options)


@dataclass(frozen=True)
class Instance:
    """One direction finder or statistic: `axes` are the values that a sweep gave it."""

    entry: str
    owner: Owned
    options: ReductionOptions
    axes: Axes
    table: Literal["directions", "statistics"] = "directions"

    def build(self) -> Any:
        """The reduction that finds it."""
        return self.owner.load()(self.options)

    def variants(self) -> list[Axes]:
        """The axes of every direction that comes out."""
        own = self.options.variants() if isinstance(self.options, DirectionOptions) else ()
        return [{**self.axes, **axes} for axes in own]


@dataclass(frozen=True)
class Task:
    """A task, understood. Facts hold what configuration files and `expect` tell."""

    source: Source
    spec: TaskSpec
    resolved: Mapping[str, Any]
    models: Mapping[str, Entry[BackendOptions]] = field(default_factory=dict)
    saes: Mapping[str, Entry[SaeOptions]] = field(default_factory=dict)
    directions: Mapping[str, tuple[Instance, ...]] = field(default_factory=dict)
    metrics: Mapping[str, Entry[MetricOptions]] = field(default_factory=dict)
    statistics: Mapping[str, tuple[Instance, ...]] = field(default_factory=dict)
    labels: Mapping[str, Entry[LabelsOptions]] = field(default_factory=dict)
    evaluators: Mapping[str, Entry[EvaluatorOptions]] = field(default_factory=dict)
    analyses: Mapping[str, Entry[AnalysisOptions]] = field(default_factory=dict)
    interventions: Mapping[str, Entry[InterventionOptions]] = field(default_factory=dict)
    """By experiment."""
    edits: Mapping[str, Entry[InterventionOptions]] = field(default_factory=dict)
    """By view."""
    preflight: Mapping[str, Entry[MetricOptions]] = field(default_factory=dict)
    """The metrics of the preflight, with their default options."""
    model_facts: Mapping[str, ModelFacts] = field(default_factory=dict)
    facts_of_saes: Mapping[str, SaeFacts] = field(default_factory=dict)

    def layers(self, model: str) -> int | None:
        """Number of blocks of a model, where known."""
        facts = self.model_facts.get(model)
        return facts.layers if facts else None

    def sae_site(self, sae: str) -> Site:
        """The site whose activations an SAE encodes."""
        spec = self.spec.saes[sae]
        declared = parse_site(spec.site) if spec.site else self.facts_of_saes[sae].site
        if declared is None:
            raise KeyError(sae)
        return self.at(declared, spec.model)

    def sae_out(self, sae: str) -> Site | None:
        """The site that an SAE reconstructs, where it is not the one that it reads."""
        out = self.facts_of_saes[sae].site_out
        if out is None:
            return None
        out = self.at(out, self.spec.saes[sae].model)
        return None if out == self.sae_site(sae) else out

    def pair(self, name: str) -> Stream:
        """The stream of a pair, called `pair`, with its filters."""
        spec = self.spec.pairs[name]
        where = Where(skip_first=spec.skip_first, max_norm_ratio=spec.max_norm_ratio)
        return Stream(
            "pair",
            spec.left,
            spec.data,
            spec.right,
            where=where,
            align=spec.align,
            pack=spec.pack,
            budget=spec.budget,
            render=spec.render,
            same_tokenizer=spec.same_tokenizer,
        )

    def edited_by(self, view: str) -> tuple[str, ...]:
        """The directions that must be found before a view can be read."""
        spec = self.spec.views.get(view)
        return (spec.edit.direction,) if spec is not None and spec.edit is not None else ()

    def at(self, site: Site, model: str) -> Site:
        """The site as a block of a model; a fraction of depth stays one while that is unknown."""
        layers = self.layers(model)
        return site.at(layers) if layers else site

    def sae_facts(self, sae: str) -> SaeFacts:
        """What is known of an SAE before it is loaded."""
        return self.facts_of_saes[sae]

    def direction(self, name: str) -> DirectionOptions:
        """The options of a direction; of a sweep, the first."""
        options = self.directions[name][0].options
        assert isinstance(options, DirectionOptions)
        return options

    def owners(self) -> list[Owned]:
        """Every component that the task uses."""
        tables: tuple[Mapping[str, Entry[Any]], ...] = (
            self.models,
            self.saes,
            self.metrics,
            self.labels,
            self.evaluators,
            self.analyses,
            self.interventions,
            self.edits,
            self.preflight,
        )
        found = [entry.owner for table in tables for entry in table.values()]
        swept = [*self.directions.values(), *self.statistics.values()]
        found += [one.owner for many in swept for one in many]
        return sorted(set(found), key=str)
