"""What a run holds while it works: loaded models and SAEs, data, prompts, directions found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

from harness.contract import (
    Arrays,
    Axes,
    Calibrated,
    Direction,
    Example,
    Found,
    Model,
    Options,
    Outcome,
    Prompt,
    Ref,
    Sae,
    Tokens,
    Tools,
    Undefined,
)
from harness.errors import DataError, ModelError, Problem, TaskError
from harness.running.progress import Tick
from harness.running.usage import Usage
from harness.task.data import load_data, read_data
from harness.task.spec import DataSpec, EditSpec, PromptSpec, ViewSpec
from harness.task.task import Instance, Task
from harness.task.validate import marks

if TYPE_CHECKING:
    from harness.running.reading.edited import EditedModel

CHUNK = 256
"""Rows that are rendered at a time."""
SMALL = 2**22
"""Bytes of a local file up to which its rows are held in memory."""


class Session:
    """Loads each thing once, when it is first needed."""

    def __init__(self, task: Task, cache: Path) -> None:
        self.task = task
        self.cache = cache
        self.usage = Usage()
        self.found: dict[str, list[Found]] = {}
        self.models: dict[str, Model] = {}
        self.saes: dict[str, Sae] = {}
        self.arrays: list[Arrays] = []
        self._edited: dict[str, EditedModel] = {}
        self._data: dict[str, list[Example]] = {}
        self._digests: dict[str, str] = {}
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
            self.saes[name] = self._calibrated(name, sae)
        return self.saes[name]

    def _calibrated(self, name: str, sae: Sae) -> Sae:
        """An SAE whose files leave its scale open, in the one that its own model's text wants."""
        from harness.running.reading.calibration import calibrated

        preflight, spec = self.task.spec.preflight, self.task.spec.saes[name]
        if not isinstance(sae, Calibrated) or preflight is None:
            return sae
        some = [row for chunk in self.chunks(preflight.data, preflight.limit) for row in chunk]
        tokens = self.render(f"@{spec.model}", some)
        site, out = self.task.sae_site(name), self.task.sae_out(name)
        size = self.task.spec.batch.activations
        return calibrated(sae, self.model(spec.model), tokens, site, out, size)

    def tools(self, options: Options, cache: Path, tick: Tick) -> Tools:
        """What judges, labels and analyses are given: the models that their options name."""
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
        """The model that a view looks at, edited where the view says so."""
        spec = self.view(name)
        if spec.edit is None:
            return self.model(spec.model)
        if name not in self._edited:
            self._edited[name] = self._edit(name, spec.model, spec.edit)
        return cast(Model, self._edited[name])

    def _edit(self, name: str, model: str, spec: EditSpec) -> EditedModel:
        from harness.running.reading.edited import EditedModel

        direction = self.variant(spec.direction, spec.at)
        if isinstance(direction, Undefined):
            raise TaskError([Problem(f"views.{name}.edit", f"{direction.reason}.")])
        entry = self.task.edits[name]
        other = entry.options.beside()
        sae = direction.sae if entry.options.on_sae else None
        return EditedModel(
            self.model(model),
            entry,
            direction,
            name=name,
            beside=self.view_model(other) if other is not None else None,
            sae=self.sae(sae) if sae is not None else None,
        )

    def edited(self) -> Mapping[str, EditedModel]:
        """The edited views that were read."""
        return self._edited

    def examples(self, name: str) -> list[Example]:
        """The rows of a data set of the task."""
        if name not in self._data:
            self._data[name] = load_data(name, self.task.spec.data[name], self.cache)
        return self._data[name]

    def chunks(self, name: str, limit: int | None = None) -> Iterator[list[Example]]:
        """The rows of a data set, some at a time; of a large one, only these are held."""
        rows: Iterable[Example] = self._data.get(name) or self._rows(name)
        rows = iter(rows if limit is None else islice(rows, limit))
        while chunk := list(islice(rows, CHUNK)):
            yield chunk

    def _rows(self, name: str) -> Iterable[Example]:
        spec = self.task.spec.data[name]
        few = _most(spec)
        small = spec.file is not None and Path(spec.file).stat().st_size <= SMALL
        if small or (few is not None and few <= CHUNK):
            return self.examples(name)
        return self._digested(name, read_data(name, spec, self.cache))

    def _digested(self, name: str, rows: Iterable[Example]) -> Iterator[Example]:
        digest = hashlib.sha256()
        for row in rows:
            digest.update(row.id.encode())
            yield row
        self._digests[name] = digest.hexdigest()

    def count(self, name: str, limit: int | None = None) -> int:
        """How many rows a data set has, for those who wait; 0 where only reading it would tell."""
        spec = self.task.spec.data[name]
        rows = self._rows(name)
        known = len(rows) if isinstance(rows, list) else _most(spec) or 0
        return min(known, limit) if limit and known else known

    def digests(self) -> Mapping[str, str]:
        """A hash of the ids of the rows of each data set that was read to its end."""
        whole = {
            name: hashlib.sha256("".join(row.id for row in rows).encode()).hexdigest()
            for name, rows in self._data.items()
        }
        return {**self._digests, **whole}

    def render(self, view: str, examples: Sequence[Example]) -> list[Tokens]:
        """The prompts of a view on some rows, as token ids."""
        spec = self.view(view).prompt
        match = spec.demonstrations.match if spec.demonstrations else None
        if match is None:
            return self._write(view, examples, self._prompt(spec))
        found: dict[int, Tokens] = {}
        groups: dict[str, list[int]] = {}
        for place, example in enumerate(examples):
            groups.setdefault(str(example.fields.get(match)), []).append(place)
        for value, places in groups.items():
            prompt = self._prompt(spec, match, value)
            rendered = self._write(view, [examples[place] for place in places], prompt)
            # A model that is only its options tells no tokens where its tokenizer is not here.
            if rendered is None:
                return rendered
            found.update(zip(places, rendered, strict=True))
        return [found[place] for place in range(len(examples))]

    def _write(self, view: str, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        try:
            return self.view_model(view).render(examples, prompt)
        except DataError as error:
            raise DataError(f"views.{view}: {error}") from error

    def rendered(self, view: str, data: str) -> list[Tokens]:
        """The prompts of a view on some data, as token ids."""
        if (view, data) not in self._rendered:
            self._rendered[view, data] = self.render(view, self.examples(data))
        return self._rendered[view, data]

    def _prompt(self, spec: PromptSpec, match: str = "", value: str = "") -> Prompt:
        demonstrations: tuple[Example, ...] = ()
        answer = "answer"
        if spec.demonstrations is not None:
            wanted, answer = spec.demonstrations, spec.demonstrations.answer
            rows = list(self.examples(wanted.data))
            if match:
                rows = [row for row in rows if str(row.fields.get(match)) == value]
                if len(rows) < wanted.count:
                    raise DataError(
                        f"data.{wanted.data}: {len(rows)} rows have {match} = {value!r}, and "
                        f"{wanted.count} demonstrations of it are wanted. Lower the count, or "
                        "add rows."
                    )
            # With --limit fewer are shown on purpose.
            capped = self.task.spec.data[wanted.data].at_most or wanted.count
            if not match and len(rows) < min(wanted.count, capped):
                raise DataError(
                    f"data.{wanted.data}: has {len(rows)} rows, and {wanted.count} demonstrations "
                    "are wanted. Lower the count, or add rows."
                )
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
        """Files the directions and arrays that an instance found, with the axes of its sweep."""
        self.file(instance, outcome, instance.axes)
        views = [stream.view for stream in instance.options.reads(self.task).streams]
        layers = self.view_model(views[0]).facts.layers if views else None
        for found in outcome.directions:
            direction = found.direction
            if isinstance(direction, Direction) and layers:
                direction = replace(direction, site=direction.site.at(layers))
            axes = {**instance.axes, **found.axes}
            kept = replace(found, direction=direction, axes=axes)
            self.found.setdefault(instance.entry, []).append(kept)

    def file(self, instance: Instance, outcome: Outcome, axes: Axes) -> None:
        """Files the arrays of a statistic."""
        if outcome.arrays:
            self.arrays.append(Arrays(instance.entry, dict(axes), dict(outcome.arrays)))

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


def _most(spec: DataSpec) -> int | None:
    """How many rows the task wants of a data set at most, where it says so."""
    return min((n for n in (spec.limit, spec.at_most) if n is not None), default=None)
