"""A resolved task: every entry with its plugin, its options, and what is known of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import BaseModel

from harness.contract import (
    DirectionOptions,
    ModelFacts,
    Options,
    Site,
    StatisticOptions,
)
from harness.contract.options import transport_fields
from harness.task.applied import Applied
from harness.task.folders import folded
from harness.task.origin import another_base, another_model, another_pair
from harness.task.places import at_depth, models_of, place
from harness.task.showing import rows, title
from harness.task.validate import references
from harness.text import sheet, sheet_html

if TYPE_CHECKING:
    from harness.contract import (
        AnalysisOptions,
        Axes,
        BackendOptions,
        EvaluatorOptions,
        ExecutorOptions,
        InterventionOptions,
        LabelsOptions,
        MetricOptions,
        ObserverOptions,
        ReductionOptions,
        SaeFacts,
        SaeOptions,
        Stream,
        StreamEdit,
        TaskView,
    )
    from harness.registry import Owned, Plugin
    from harness.task.file import Source
    from harness.task.folders import Folder
    from harness.task.places import Places
    from harness.task.spec import TaskSpec

NO_EDIT = "none"
"""The `direction` of the arm whose model is left as it is."""
_BESIDE = {"experiments": ("evaluators", "expect"), "data": ("expect", "on_bad_rows")}
"""Keys of entries that change no completion: who judges, what a plan goes by, and whether rows
that are left out may be (a message advises that change, and the run goes on)."""
_JUDGES = ("title", "source", "evaluators", "labels", "analyses", "gates", "claims", "families")
"""Tables and keys that change neither an activation nor a completion."""
_CODE = ("plugins",)
"""Files of code. What a run does is said by the tables, which name components; work that depends on
a file has its sha256 in its key, as it has the version of an installed plugin."""
_SIZES = ("batch",)
"""Sizes of what is done at a time, which change no number beyond rounding."""

O_ = TypeVar("O_", bound=Options)


@dataclass(frozen=True)
class Entry(Generic[O_]):
    """An entry of a task's table with the component that it configures."""

    name: str
    owner: Owned
    options: O_
    axes: Axes = field(default_factory=dict)
    """The values that a sweep gave it."""

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

    def variants(self, task: TaskView) -> list[Axes]:
        """The axes of every direction that comes out, in this task."""
        own = self.options.variants_in(task) if isinstance(self.options, DirectionOptions) else ()
        return [{**self.axes, **axes} for axes in own]


@dataclass(frozen=True, repr=False)
class Task:
    """A resolved task. Facts hold what configuration files and `expect` tell.

    With other facts (`dataclasses.replace`), everything is placed anew.
    """

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
    analyses: Mapping[str, tuple[Entry[AnalysisOptions], ...]] = field(default_factory=dict)
    """All combinations of the sweep of each."""
    observers: Mapping[str, Entry[ObserverOptions]] = field(default_factory=dict)
    """Who is told what happens. They are no part of `resolved`, nor of `owners`: whoever watches,
    it is the same run."""
    executor: Entry[ExecutorOptions] | None = None
    """Who computes the parts of the run; None: the process that was started. No part of `resolved`,
    nor of `owners`, either."""
    settings: Applied = field(default_factory=Applied)
    """What a person's configuration file gave it, or decides of its run. No part of `resolved`, but
    for the keys of models that it has filled in."""
    interventions: Mapping[str, Entry[InterventionOptions]] = field(default_factory=dict)
    """By experiment."""
    edits: Mapping[str, Entry[InterventionOptions]] = field(default_factory=dict)
    """By view."""
    stream_edits: Mapping[tuple[object, ...], Entry[InterventionOptions]] = field(
        default_factory=dict
    )
    """By `edit_key`: the interventions with which streams of reductions are edited."""
    preflight: Mapping[str, Entry[MetricOptions]] = field(default_factory=dict)
    """The metrics of the preflight, with their default options."""
    model_facts: Mapping[str, ModelFacts] = field(default_factory=dict)
    facts_of_saes: Mapping[str, SaeFacts] = field(default_factory=dict)
    local: tuple[Plugin, ...] = ()
    """The plugins in files of their own that it names."""
    folders: tuple[Folder, ...] = ()
    """Folders of checkpoints, which have become pairs."""
    made_metrics: Mapping[str, str] = field(default_factory=dict)
    """By metric that was made for a checkpoint, the one that the task wrote."""

    def __repr__(self) -> str:
        """One screen: what it reads, measures and does."""
        return sheet(title(self.spec), self._rows())

    def _repr_html_(self) -> str:
        return sheet_html(title(self.spec), self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        blocks = {name: facts.layers for name, facts in self.model_facts.items()}
        sites = {name: target.site for name, target in self.places.saes.items()}
        tables: dict[str, Mapping[str, tuple[Any, ...]]] = {
            "directions": self.directions,
            "statistics": self.statistics,
            "analyses": self.analyses,
        }
        swept = {
            table: {name: len(many) for name, many in entries.items()}
            for table, entries in tables.items()
        }
        return rows(self.spec, blocks, sites, swept, self.source.file)

    @cached_property
    def places(self) -> Places:
        """Where SAEs, pairs and metrics lie, as far as the facts tell."""
        return place(self.spec, self.model_facts, self.facts_of_saes)

    @property
    def instances(self) -> list[Instance]:
        """Every direction finder and every statistic, in all combinations of its sweep."""
        swept = (*self.directions.values(), *self.statistics.values())
        return [instance for many in swept for instance in many]

    def layers(self, model: str) -> int | None:
        """Number of blocks of a model, where known."""
        facts = self.model_facts.get(model)
        return facts.layers if facts else None

    def at(self, site: Site, model: str) -> Site:
        """The site as a block of a model; a fraction of depth stays one while that is unknown."""
        return at_depth(site, self.model_facts[model])

    def end(self, model: str) -> Site:
        """The residual stream of a model after its last block."""
        return self.at(Site("resid_post", fraction=1.0), model)

    def sae_site(self, sae: str) -> Site:
        """The site whose activations an SAE encodes, the first of several; KeyError where nothing
        tells it."""
        return self.places.saes[sae].site

    def sae_sites(self, sae: str) -> tuple[Site, ...]:
        """All sites whose activations an SAE encodes together: one, unless it joins several."""
        model, own = self.sae_models(sae)[0], self.sae_site(sae)
        joined = [one.site for one in self.sae_facts(sae).inputs if one.site is not None]
        return tuple(dict.fromkeys([own, *(self.at(site, model) for site in joined)]))

    def sae_models(self, sae: str) -> tuple[str, ...]:
        """The models that an SAE was trained on: one, or the left and the right one of a pair."""
        return models_of(self.spec, sae)

    def sides_on(self, sae: str, model: str) -> tuple[str | None, ...]:
        """Which sides of an SAE's pair a model is; None alone where it reads one model."""
        if not self.of_pair(sae):
            return (None,)
        sides = zip(("left", "right"), self.sae_models(sae), strict=True)
        return tuple(side for side, one in sides if one == model)

    def sae_reads(
        self, sae: str, side: str | None = None, facts: SaeFacts | None = None
    ) -> list[tuple[Site, int | None]]:
        """What an SAE reads of one side of a pair, or of its model: each site, and its width.

        `facts` are those of the loaded SAE, which may know more than its files told.
        """
        facts, model = facts or self.sae_facts(sae), self.sae_models(sae)[0]
        own = self.sae_site(sae)
        if not facts.inputs:
            return [(own, None if self.of_pair(sae) else facts.d_in)]
        return [
            (self.at(one.site, model) if one.site else own, one.width)
            for one in facts.inputs
            if one.side == side
        ]

    def of_pair(self, sae: str) -> bool:
        """Whether an SAE reads both sides of a pair at once."""
        return self.spec.saes[sae].pair is not None

    def sae_out(self, sae: str) -> Site | None:
        """The site that an SAE reconstructs, where it is not the one that it reads."""
        return self.places.saes[sae].out

    def sae_facts(self, sae: str) -> SaeFacts:
        """What is known of an SAE before it is loaded."""
        return self.facts_of_saes[sae]

    def trained_elsewhere(self, sae: str, facts: SaeFacts | None = None) -> str | None:
        """A sentence that names both models where an SAE says that it was trained on another.

        `facts` are those of the loaded SAE, which may tell more than its files did. None of an SAE
        of a pair: see `paired_elsewhere`."""
        model = self.spec.saes[sae].model
        if model is None:
            return None
        told = (facts.model if facts else None) or self.sae_facts(sae).model
        return another_model(told, model, self.models[model].options.names())

    def paired_elsewhere(self, sae: str, facts: SaeFacts | None = None) -> str | None:
        """Likewise of an SAE of a pair, where the task has its files' models checked."""
        if not self.of_pair(sae) or not self.spec.saes[sae].check_models:
            return None
        left, right = self.sae_models(sae)
        names = self.models[left].options.names(), self.models[right].options.names()
        told = (facts.model if facts else None) or self.sae_facts(sae).model
        return another_pair(told, (left, right), names)

    def adapted_elsewhere(self, model: str) -> str | None:
        """A sentence that names both models where an adapter says it was trained on another."""
        options = self.models[model].options
        return another_base(options.adapted_from(), options.names())

    def other_origins(self) -> Iterator[str]:
        """What SAEs and adapters say of other models than the task gives them, told by files."""
        for name in self.saes:
            if told := self.trained_elsewhere(name):
                yield f"saes.{name}: {told}"
        for name in self.models:
            if told := self.adapted_elsewhere(name):
                yield f"models.{name}: {told}"

    def pair(self, name: str) -> Stream:
        """The stream of a pair, called `pair`, with its filters."""
        return self.places.pairs[name].stream

    def edited_by(self, view: str) -> tuple[str, ...]:
        """The directions that must be found before a view can be read."""
        spec = self.spec.views.get(view)
        return (spec.edit.direction,) if spec is not None and spec.edit is not None else ()

    def view_facts(self, view: str) -> ModelFacts:
        """What is known of a view's model before it is loaded; nothing where there is none."""
        spec = self.spec.views.get(view)
        return ModelFacts() if spec is None else self.model_facts[spec.model]

    def direction(self, name: str) -> DirectionOptions:
        """The options of a direction; those of the first one where it is swept."""
        options = self.directions[name][0].options
        assert isinstance(options, DirectionOptions)
        return options

    def statistic(self, name: str) -> tuple[StatisticOptions, ...]:
        """The options of a statistic, for each combination of its sweep."""
        found = (instance.options for instance in self.statistics.get(name, ()))
        return tuple(options for options in found if isinstance(options, StatisticOptions))

    def axes_of(self, pair: str) -> Axes:
        """The axes that a pair gives all that is measured on it."""
        return self.places.pairs[pair].axes

    def width(self, view: str, site: Site) -> int | None:
        """Numbers per token at a site of a view's model, where known."""
        return self.model_facts[self.spec.views[view].model].width(site)

    def owners(self) -> list[Owned]:
        """Every component that the numbers of the task may depend on."""
        tables: tuple[Mapping[str, Entry[Any]], ...] = (
            self.models,
            self.saes,
            self.metrics,
            self.labels,
            self.evaluators,
            self.interventions,
            self.edits,
            self.preflight,
        )
        found = [entry.owner for table in tables for entry in table.values()]
        found += [entry.owner for entry in self.stream_edits.values()]
        found += [instance.owner for instance in self.instances]
        found += [entry.owner for many in self.analyses.values() for entry in many]
        return sorted(set(found), key=str)


def edit_key(edit: StreamEdit) -> tuple[object, ...]:
    """The same for edits of streams that differ in nothing but the direction."""
    return (edit.method, edit.options)


def task_hash(task: Task) -> str:
    """Hashes those parts of a resolved task on which activations and completions depend.

    Left out are titles, expectations, sizes of batches, judges and what is made of their verdicts:
    a run with another judge, or with smaller batches after it ran out of memory, finds what is
    there already, since its hash is the same. Which checkpoints there are is left out, too: a new
    one is more work for the same run.
    """
    return _hash(folded(decisive(task), task.folders, task.made_metrics))


def written_hash(task: Task) -> str:
    """Hashes a task likewise, with each of its checkpoints: as a run writes it down."""
    return _hash(decisive(task))


def _hash(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def decisive(task: Task) -> dict[str, Any]:
    """The parts of a resolved task on which activations and completions depend."""
    values = {
        key: value for key, value in task.resolved.items() if key not in (*_JUDGES, *_CODE, *_SIZES)
    }
    judging = set(task.spec.models) - set(_models(task))
    values["models"] = {
        key: _without(value, transport_fields(type(task.models[key].options)))
        for key, value in values.get("models", {}).items()
        if key not in judging
    }
    for part, beside in _BESIDE.items():
        values[part] = {
            key: {name: value for name, value in table.items() if name not in beside}
            for key, table in values.get(part, {}).items()
        }
    return values


def _without(table: Mapping[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    """A table without some keys, such as those of where a server is."""
    return {key: value for key, value in table.items() if key not in keys}


def _models(task: Task) -> Iterator[str]:
    """The models that are used by anything but a judge."""
    yield from (view.model for view in task.spec.views.values())
    yield from (model for sae in task.spec.saes for model in task.sae_models(sae))
    users: list[BaseModel] = [instance.options for instance in task.instances]
    for entries in (task.saes, task.metrics, task.interventions):
        users += [entry.options for entry in entries.values()]
    for options in users:
        yield from references(options, "models")
