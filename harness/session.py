"""What a run holds while it works: loaded models and SAEs, data, prompts, directions found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from harness.contract import (
    Axes,
    Direction,
    EvaluatorOptions,
    Example,
    Found,
    Model,
    Outcome,
    Prompt,
    Ref,
    Sae,
    Tokens,
    Tools,
    Undefined,
)
from harness.data import load_data
from harness.errors import ModelError
from harness.progress import Tick
from harness.spec import PromptSpec, ViewSpec
from harness.task import Instance, Task
from harness.usage import Usage
from harness.validate import marks


class Session:
    """Loads each thing once, when it is first needed."""

    def __init__(self, task: Task, cache: Path) -> None:
        self.task = task
        self.cache = cache
        self.usage = Usage()
        self.found: dict[str, list[Found]] = {}
        self.models: dict[str, Model] = {}
        self.saes: dict[str, Sae] = {}
        self._data: dict[str, list[Example]] = {}
        self._rendered: dict[tuple[str, str], list[Tokens]] = {}

    # ── models, SAEs, data ──

    def model(self, name: str) -> Model:
        """A model of the task, loaded and held against what the task expects of it."""
        if name not in self.models:
            model = self.usage.load(name, self.task.models[name].build().load)
            self._verify(f"models.{name}", model.facts, self.task.spec.models[name].expect)
            self.models[name] = model
        return self.models[name]

    def sae(self, name: str) -> Sae:
        """An SAE of the task, on the device of its model."""
        if name not in self.saes:
            spec = self.task.spec.saes[name]
            sae: Sae = self.task.saes[name].build().load(self.model(spec.model).device)
            self._verify(f"saes.{name}", sae.facts, spec.expect)
            width = self.model(spec.model).facts.width(self.task.sae_site(name))
            if None not in (width, sae.facts.d_in) and width != sae.facts.d_in:
                raise ModelError(
                    f"saes.{name}: it reads {sae.facts.d_in} numbers per token, {spec.model} has "
                    f"{width}. Choose an SAE that was trained on this model."
                )
            self.saes[name] = sae
        return self.saes[name]

    def tools(self, options: EvaluatorOptions, cache: Path, tick: Tick) -> Tools:
        """What an evaluator is given: the models that its options name."""
        names = [
            getattr(options, key)
            for key, mark in marks(type(options))
            if isinstance(mark, Ref) and mark.table == "models" and getattr(options, key)
        ]
        models = {name: self.model(name) for name in names}
        return Tools(models, cache, self.task.spec.seed, tick)

    def view(self, name: str) -> ViewSpec:
        """A view of the task; `@model` is the plain text of a model."""
        if name.startswith("@"):
            preflight = self.task.spec.preflight
            longest = preflight.max_tokens if preflight else None
            return ViewSpec(model=name[1:], prompt=PromptSpec(max_tokens=longest))
        return self.task.spec.views[name]

    def view_model(self, name: str) -> Model:
        """The model that a view looks at."""
        return self.model(self.view(name).model)

    def examples(self, name: str) -> list[Example]:
        """The rows of a data set of the task."""
        if name not in self._data:
            self._data[name] = load_data(name, self.task.spec.data[name], self.cache)
        return self._data[name]

    def loaded_data(self) -> Mapping[str, list[Example]]:
        """The data sets that were read."""
        return self._data

    def rendered(self, view: str, data: str) -> list[Tokens]:
        """The prompts of a view on some data, as token ids."""
        if (view, data) not in self._rendered:
            prompt = self._prompt(self.view(view).prompt)
            rendered = self.view_model(view).render(self.examples(data), prompt)
            self._rendered[view, data] = rendered
        return self._rendered[view, data]

    def _prompt(self, spec: PromptSpec) -> Prompt:
        demonstrations: tuple[Example, ...] = ()
        answer = "answer"
        if spec.demonstrations is not None:
            wanted, answer = spec.demonstrations, spec.demonstrations.answer
            rows = list(self.examples(wanted.data))
            if wanted.seed is not None:
                Random(wanted.seed).shuffle(rows)
            demonstrations = tuple(rows[: wanted.count])
        values = spec.model_dump(exclude={"demonstrations"})
        return Prompt(**values, demonstrations=demonstrations, answer=answer)

    def _verify(self, where: str, facts: object, expect: Any) -> None:
        for key, value in expect.model_dump(exclude_none=True).items():
            found = getattr(facts, key, None)
            if found is not None and found != value:
                raise ModelError(f"{where}.expect.{key}: {value} was expected, but it has {found}.")

    # ── directions ──

    def keep(self, instance: Instance, outcome: Outcome) -> None:
        """Files the directions that an instance found, with the axes of its sweep."""
        views = [stream.view for stream in instance.options.reads(self.task).streams]
        layers = self.view_model(views[0]).facts.layers if views else None
        for found in outcome.directions:
            direction = found.direction
            if isinstance(direction, Direction) and layers:
                direction = replace(direction, site=direction.site.at(layers))
            axes = {**instance.axes, **found.axes}
            kept = replace(found, direction=direction, axes=axes)
            self.found.setdefault(instance.entry, []).append(kept)

    def has(self, name: str) -> bool:
        """Whether a direction has been found already."""
        return name in self.found

    def direction(self, name: str, axes: Mapping[str, object]) -> Direction | Undefined:
        """The variant of a direction with these axes, or its only variant."""
        variants = self.found[name]
        if len(variants) == 1:
            return variants[0].direction
        for found in variants:
            if found.axes == axes:
                return found.direction
        return Undefined(f"{name} has no variant with {dict(axes)}")

    def variant(self, name: str, axes: Axes) -> Direction | Undefined:
        """The variant of a direction with exactly these axes."""
        for found in self.found.get(name, ()):
            if found.axes == axes:
                return found.direction
        return Undefined(f"{name} did not yield a direction for {dict(axes)}")
