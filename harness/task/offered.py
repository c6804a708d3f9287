"""Whether the models of a task offer what it asks of them: activations, edits, completions, …

What a backend offers is in the facts that its options describe, so nothing is loaded for this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from harness.contract import BenchmarkOptions, Capability, Ref
from harness.contract.capabilities import in_words
from harness.errors import TaskError
from harness.task.causes import Misfit
from harness.task.validate import marks, references, words

if TYPE_CHECKING:
    from harness.contract import Options
    from harness.task.task import Entry, Instance, Task
    from harness.task.validate import KeyParts

Wanted = Iterable[Capability]


def unoffered(task: Task) -> Iterator[Misfit]:
    """Every place that asks a model for what its backend does not offer.

    What comes of one model that lacks one thing is one mistake.
    """
    lacks = _Lacks(task)
    yield from _edited_views(task, lacks)
    yield from _saes(task, lacks)
    yield from _pairs(task, lacks)
    yield from _metrics(task, lacks)
    yield from _reductions(task, lacks)
    yield from _experiments(task, lacks)
    yield from _named(task, lacks)


class _Lacks:
    """Says what a model lacks of what is wanted of it."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __call__(self, model: str, wanted: Wanted, at: KeyParts, who: str) -> Iterator[Misfit]:
        """A misfit at `at` where a model of the task lacks some of `wanted`, which `who` needs."""
        offered = self._task.model_facts[model].capabilities
        lacking = sorted(set(wanted) - offered)
        if lacking:
            what, owner = in_words(lacking), self._task.models[model].owner
            yield Misfit(
                at,
                f"{who} needs {what} of a model, and {model} has none: its backend {owner} offers "
                f"{in_words(offered)}. Allowed: a model whose backend offers {what}. Name another "
                "model, or leave this out.",
                ("offered", model, tuple(lacking)),
            )

    def of_view(self, view: str, wanted: Wanted, at: KeyParts, who: str) -> Iterator[Misfit]:
        """Likewise of the model of a view."""
        yield from self(self._task.spec.views[view].model, wanted, at, who)


def _edited_views(task: Task, lacks: _Lacks) -> Iterator[Misfit]:
    for name, entry in task.edits.items():
        at = ("views", name, "edit")
        yield from lacks.of_view(name, {"activations", "edits"}, at, "an edit of what a view reads")
        if (beside := entry.options.beside()) in task.spec.views:
            key = _key(entry.options, "views", lambda word: word == beside)
            yield from lacks.of_view(str(beside), {"activations"}, (*at, *key), str(entry.owner))


def _saes(task: Task, lacks: _Lacks) -> Iterator[Misfit]:
    for name, spec in task.spec.saes.items():
        if spec.model is not None:
            yield from lacks(spec.model, {"activations"}, ("saes", name, "model"), "an SAE")


def _pairs(task: Task, lacks: _Lacks) -> Iterator[Misfit]:
    for name, pair in task.spec.pairs.items():
        for side, view in (("left", pair.left), ("right", pair.right)):
            yield from lacks.of_view(view, {"activations"}, ("pairs", name, side), "a pair")


def _metrics(task: Task, lacks: _Lacks) -> Iterator[Misfit]:
    for name, entry in task.metrics.items():
        spec = task.spec.metrics[name]
        wanted: set[Capability] = {"logits"} if entry.options.on_logits else {"activations"}
        if spec.view is not None:
            at = ("metrics", name, "view")
            yield from lacks.of_view(spec.view, wanted, at, str(entry.owner))
        elif spec.pair is not None:
            pair = task.spec.pairs[spec.pair]
            for view in (pair.left, pair.right):
                at = ("metrics", name, "pair")
                yield from lacks.of_view(view, wanted, at, str(entry.owner))


def _reductions(task: Task, lacks: _Lacks) -> Iterator[Misfit]:
    for instances in [*task.directions.values(), *task.statistics.values()]:
        for instance in instances[:1]:  # the others of a sweep stand at the same place
            yield from _reduction(task, instance, lacks)


def _reduction(task: Task, instance: Instance, lacks: _Lacks) -> Iterator[Misfit]:
    try:
        reads = instance.options.reads(task)
    except TaskError:
        return  # said where reductions are checked
    wanted: set[Capability] = {"logits"} if reads.logits else set()
    if reads.sites or reads.saes or not wanted:
        wanted.add("activations")
    if reads.paths:
        wanted |= {"activations", "gradients"}
    if any(stream.edit is not None for stream in reads.streams):
        wanted.add("edits")
    for stream in reads.streams:
        for view in (stream.view, stream.right):
            if view in task.spec.views:
                at = (instance.table, instance.entry, *_of_view(task, instance.options, str(view)))
                yield from lacks.of_view(str(view), wanted, at, str(instance.owner))


def _experiments(task: Task, lacks: _Lacks) -> Iterator[Misfit]:
    for name, spec in task.spec.experiments.items():
        at = ("experiments", name)
        used = [(evaluator, task.evaluators[evaluator].options) for evaluator in spec.evaluators]
        if any(not isinstance(options, BenchmarkOptions) for _, options in used):
            yield from lacks.of_view(spec.view, {"generation"}, (*at, "view"), "an experiment")
        if name in task.interventions:
            owner = str(task.interventions[name].owner)
            yield from lacks.of_view(spec.view, {"edits"}, (*at, "intervention"), owner)
        for evaluator, options in used:
            if isinstance(options, BenchmarkOptions):
                who = f"the benchmark {evaluator}"
                yield from lacks.of_view(spec.view, options.subject_needs, (*at, "evaluators"), who)


def _named(task: Task, lacks: _Lacks) -> Iterator[Misfit]:
    """Models that options name, such as a judge's."""
    tables: list[tuple[str, dict[str, Entry[Any]]]] = [
        ("metrics", dict(task.metrics)),
        ("labels", dict(task.labels)),
        ("evaluators", dict(task.evaluators)),
        # Others of a sweep that name another model stand at the same place.
        *(("analyses", {name: one}) for name, many in task.analyses.items() for one in many),
    ]
    for table, entries in tables:
        for name, entry in entries.items():
            for model in references(entry.options, "models"):
                at = (table, name, *_key(entry.options, "models", model.__eq__))
                yield from lacks(model, entry.options.model_needs, at, str(entry.owner))
    for instance in task.instances:
        for model in references(instance.options, "models"):
            at = (instance.table, instance.entry, *_key(instance.options, "models", model.__eq__))
            yield from lacks(model, instance.options.model_needs, at, str(instance.owner))


def _of_view(task: Task, options: Options, view: str) -> KeyParts:
    """The option that names a view, or else a pair with it; nothing where none does."""

    def has_it(pair: str) -> bool:
        found = task.spec.pairs[pair]
        return view in (found.left, found.right)

    return _key(options, "views", lambda word: word == view) or _key(options, "pairs", has_it)


def _key(options: Options, table: str, fits: Callable[[str], bool]) -> KeyParts:
    """The option that names an entry of a table which fits; nothing where none does."""
    for key, mark in marks(type(options)):
        ours = isinstance(mark, Ref) and mark.table == table
        if ours and any(map(fits, words(getattr(options, key)))):
            return (key,)
    return ()
