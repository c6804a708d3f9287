"""What a run works with: models, SAEs and edited views, each loaded when it is first needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from harness.contract import (
    Arm,
    Calibrated,
    Direction,
    Example,
    InterventionOptions,
    Model,
    Options,
    Prompt,
    Ref,
    Rests,
    Sae,
    Stream,
    StreamEdit,
    Tokens,
    Tools,
    Undefined,
)
from harness.errors import ModelError, Problem, TaskError
from harness.running.directions import Directions
from harness.running.interventions import DirectedIntervention
from harness.running.progress import Progress, Tick
from harness.running.reading.armed import EditsDone, Under
from harness.running.reading.calibration import calibrated, calibrated_on_pair
from harness.running.reading.edited import EditedModel
from harness.running.usage import Usage
from harness.store.cache import Cache
from harness.store.keys import key_of
from harness.store.known_files import KnownFiles, knowing, known_files
from harness.task.joins import unjoined
from harness.task.prompts import Prompts, TaskData, view_spec
from harness.task.spec import EditSpec
from harness.task.task import Entry, Task, edit_key
from harness.task.validate import marks


class Session:
    """Loads the models and SAEs of a task, each once, and holds what the steps of a run share.

    `downloads` is the folder for downloaded data, `replies` the one where judges that are asked in
    words keep what they said; what is being loaded is shown as `progress`;
    `cache` is what other runs have made, where that may be used; hashes of large files that they
    have found are in `known`, by default of the same cache.
    """

    def __init__(
        self,
        task: Task,
        downloads: Path,
        replies: Path,
        progress: Progress | None = None,
        cache: Cache | None = None,
        known: KnownFiles | None = None,
    ) -> None:
        self.task = task
        self.cache = cache
        self.known = known or (known_files() if cache is None else KnownFiles(cache))
        self.taken: Counter[str] = Counter()
        """What was taken from the cache instead of being made: how many jobs and completions."""
        self.replies = replies
        self._evaluators: dict[str, Any] = {}
        self.workers: Counter[str] = Counter()
        """How many parts were computed by each worker, where there are several."""
        self._progress = progress or Progress()
        self.usage = Usage()
        self.data = TaskData(task.spec, downloads)
        self.prompts = Prompts(task.spec, self.data, self._render)
        self.directions = Directions()
        self.models: dict[str, Model] = {}
        self.thresholds: dict[Stream, float] = {}
        """By stream, without its name: what its filter by `cosine_quantile` came to."""
        self.saes: dict[str, Sae] = {}
        self.edited: dict[str, EditedModel] = {}
        """By view: the models of edited views that were read."""
        self.tried: dict[Under, EditsDone] = {}
        """By view and edit of a stream: what the edits did while it was read."""

    def say(self, text: str) -> None:
        """Shows one line to whoever started the run."""
        self._progress.say(text)

    def model(self, name: str) -> Model:
        """A model of the task.

        Raises ModelError where it is not what `expect` says.
        """
        if name not in self.models:
            with self._progress.doing(f"loading model {name}"), knowing(self.known):
                model = self.usage.load(name, self.task.models[name].build().load)
            _check_expected(f"models.{name}", model.facts, self.task.spec.models[name].expect)
            self.models[name] = model
        return self.models[name]

    def rest(self) -> None:
        """Another step begins: models give back what they keep from batch to batch."""
        for model in self.models.values():
            if isinstance(model, Rests):
                model.rest()

    def sae(self, name: str) -> Sae:
        """An SAE of the task, on the device of its model, in the scale of its model's text.

        Raises ModelError where it is not what `expect` says, or does not fit its model.
        """
        if name not in self.saes:
            spec, models = self.task.spec.saes[name], self.task.sae_models(name)
            device = self.model(models[0]).device
            with (
                self._progress.doing(f"loading SAE {name}"),
                self.usage.loading(),
                knowing(self.known),
            ):
                sae: Sae = self.task.saes[name].build().load(device)
            _check_expected(f"saes.{name}", sae.facts, spec.expect)
            if what := unjoined(spec, sae.facts):
                raise ModelError(f"saes.{name}: {what}")
            for model in models:
                self._check_width(name, sae, model)
            with knowing(self.known):
                self.saes[name] = self.usage.counted(name, self._calibrate(name, sae))
        return self.saes[name]

    def view_model(self, view: str) -> Model:
        """The model that a view looks at, edited where the view is.

        Raises TaskError where the direction of its edit does not exist.
        """
        spec = view_spec(self.task.spec, view)
        if spec.edit is None:
            return self.model(spec.model)
        if view not in self.edited:
            self.edited[view] = self._edit(view, spec.model, spec.edit)
        return cast(Model, self.edited[view])

    def arm_of(self, what: Under) -> Arm | None:
        """The edits of a stream; None where its direction is undefined.

        Raises ModelError where they make no sense on the view's model.
        """
        found = self.direction_of(what.edit)
        if isinstance(found, Undefined):
            return None
        entry = self.task.stream_edits[edit_key(what.edit)]
        return self.directed(entry, found).arm(str(what), self.view_model(what.view))

    def direction_of(self, edit: StreamEdit) -> Direction | Undefined:
        """The direction of a stream's edit, which an earlier pass has found."""
        return self.directions.variant(edit.direction, dict(edit.axes))

    def fingerprint(self, view: str) -> str:
        """A hash of all that decides what a view's model gives: its files and numbers, the backend
        that runs it, and the backend's version."""
        owner = self.task.models[view_spec(self.task.spec, view).model].owner
        return key_of(self.view_model(view).fingerprint, str(owner), owner.plugin.version)

    def sae_fingerprint(self, name: str) -> str:
        """Likewise of an SAE: its numbers, the format that reads it, and the format's version."""
        owner = self.task.saes[name].owner
        return key_of(self.sae(name).fingerprint, str(owner), owner.plugin.version)

    def tools(self, options: Options, tick: Tick) -> Tools:
        """What a judge, a source of labels or an analysis works with: the models that its options
        name, a folder for what it keeps, the seed, and `tick` to say how far it is."""
        models = {name: self.model(name) for name in self.models_named(options)}
        return Tools(models, self.replies, self.task.spec.seed, tick)

    def evaluator(self, name: str) -> Any:
        """The object of an evaluator, made once: a benchmark's data take long to read."""
        if name not in self._evaluators:
            self._evaluators[name] = self.task.evaluators[name].build()
        return self._evaluators[name]

    def models_named(self, options: Options) -> list[str]:
        """The models of the task that options name."""
        return [
            getattr(options, key)
            for key, mark in marks(type(options))
            if isinstance(mark, Ref) and mark.table == "models" and getattr(options, key)
        ]

    def directed(
        self, entry: Entry[InterventionOptions], direction: Direction
    ) -> DirectedIntervention:
        """An intervention along a direction, with the SAE that its edits run, if they run one.

        Raises ModelError where the SAE that the intervention names reads another site.
        """
        if not entry.options.on_sae:
            return DirectedIntervention(entry, direction)
        own = entry.options.own_sae()
        sae = own or direction.sae
        if sae is None:
            return DirectedIntervention(entry, direction)
        if own is not None and not self.task.sae_site(own).same_place(direction.site):
            raise ModelError(
                f"{entry.name}: sae {own!r} reads {self.task.sae_site(own)}, but the direction "
                f"lives at {direction.site}. Allowed: an SAE that reads where the edit acts. "
                "Choose another SAE, or find the direction at that site"
            )
        return DirectedIntervention(entry, direction, self.sae(sae), self.sae_fingerprint(sae))

    def _render(self, view: str, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        return self.view_model(view).render(examples, prompt)

    def _check_width(self, name: str, sae: Sae, model: str) -> None:
        """Raises ModelError where an SAE reads another width than one of its models has."""
        task = self.task
        for side in task.sides_on(name, model):
            for site, reads in task.sae_reads(name, side, sae.facts):
                width = self.model(model).facts.width(site)
                if None in (width, reads) or width == reads:
                    continue
                other = task.trained_elsewhere(name, sae.facts)
                raise ModelError(
                    f"saes.{name}: it reads {reads} numbers per token, {model} has {width}. Choose "
                    "an SAE that was trained on this model."
                    + (f" Besides, {other}" if other else "")
                )

    def _calibrate(self, name: str, sae: Sae) -> Sae:
        """Chooses the scale of an SAE whose files leave it open, by the text of the preflight."""
        preflight, models = self.task.spec.preflight, self.task.sae_models(name)
        if not isinstance(sae, Calibrated) or preflight is None:
            return sae
        model = models[0]
        chunks = self.prompts.chunks((f"@{model}",), preflight.data, preflight.limit)
        tokens = [one for written in chunks for one in written.sides[0]]
        site, out = self.task.sae_site(name), self.task.sae_out(name)
        size = self.task.spec.batch.activations
        if self.task.of_pair(name):
            both = [self.model(one) for one in models]
            return calibrated_on_pair(sae, both, tokens, site, size)
        return calibrated(sae, self.model(model), tokens, site, out, size)

    def _edit(self, view: str, model: str, spec: EditSpec) -> EditedModel:
        direction = self.directions.variant(spec.direction, spec.at)
        if isinstance(direction, Undefined):
            raise TaskError([Problem(f"views.{view}.edit", f"{direction.reason}.")])
        entry = self.task.edits[view]
        beside = entry.options.beside()
        return EditedModel(
            self.model(model),
            self.directed(entry, direction),
            name=view,
            beside=self.view_model(beside) if beside is not None else None,
        )


def _check_expected(where: str, facts: object, expect: Any) -> None:
    """Raises ModelError at the first fact that is known and not as the task expects it."""
    for key, value in expect.model_dump(exclude_none=True).items():
        found = getattr(facts, key, None)
        if found is not None and found != value:
            raise ModelError(f"{where}.expect.{key}: {value} was expected, but it has {found}.")
