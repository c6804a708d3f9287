"""Whether the parts of a task fit each other, as far as configuration files tell."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal

from harness.contract import BenchmarkOptions, Reads, Site
from harness.contract.sites import nearest_to_hook, parse_site
from harness.errors import DataError, ModelError, Problem, TaskError, listed
from harness.task.data import read_data
from harness.task.gates import parse
from harness.task.ids import measurable, unmeasured
from harness.task.joins import unfit_metric, unfit_reduction, unjoined
from harness.task.spec import DirectionSpec, PairSpec, SaeSpec, StatisticSpec
from harness.task.task import NO_EDIT, Instance, Task
from harness.task.validate import KeyParts
from harness.text import for_terminal

LARGEST = 2**26
"""Bytes up to which a local data file is opened by `check`."""

Misfit = tuple[KeyParts, str]
"""The key that does not fit, and what is wrong with it."""


def misfits(task: Task) -> Iterator[Problem]:
    """Everything that does not fit: widths, depths, templates, vocabularies, circles."""
    for at, what in _misfits(task):
        yield task.source.problem(at, what)


def _misfits(task: Task) -> Iterator[Misfit]:
    yield from _data(task)
    yield from _weights(task)
    yield from _views(task)
    yield from _saes(task)
    if task.spec.saes.keys() - task.places.saes.keys():
        return  # reported by _saes; everything below needs the sites of SAEs
    yield from _pairs(task)
    yield from _metrics(task)
    yield from _reductions(task)
    yield from _experiments(task)
    yield from _edits(task)
    yield from _gates(task)


def _data(task: Task) -> Iterator[Misfit]:
    """Local files are opened: a column that is not there should not wait for a model."""
    for name, spec in task.spec.data.items():
        if spec.file is None or Path(spec.file).stat().st_size > LARGEST:
            continue
        try:
            deque(read_data(name, spec, Path()), maxlen=0)  # reads every row and keeps none
        except DataError as error:
            yield ("data", name), str(error).removeprefix(f"data.{name}: ")


def _weights(task: Task) -> Iterator[Misfit]:
    """Folders of models and adapters that hold nothing that can be loaded."""
    for name, entry in task.models.items():
        try:
            entry.options.check()
        except ModelError as error:
            yield ("models", name), str(error)


def _views(task: Task) -> Iterator[Misfit]:
    for name, view in task.spec.views.items():
        if view.prompt.style == "chat" and task.model_facts[view.model].chat_template is False:
            yield (
                ("views", name, "prompt"),
                f'the tokenizer of {view.model} has no chat template. Use style = "plain", or '
                "a tokenizer that has one.",
            )
        if view.prompt.style != "chat" and view.prompt.template_arguments:
            yield (
                ("views", name, "prompt", "template_arguments"),
                'are for the chat template, and this prompt is plain. Use style = "chat", or '
                "leave them out.",
            )


def _saes(task: Task) -> Iterator[Misfit]:
    for name, spec in task.spec.saes.items():
        at = ("saes", name)
        if name not in task.places.saes:
            yield (*at, "site"), f"is missing, and the SAE's own metadata {_unplaced(task, name)}"
            continue
        models, facts = task.sae_models(name), task.sae_facts(name)
        if what := unjoined(spec, facts):
            yield (*at, "model" if spec.model else "pair"), what
            continue
        yield from _two_models(task, spec, at)
        if spec.site and len(facts.inputs) > 1 and not facts.of_pair:
            yield (
                (*at, "site"),
                f"the SAE reads {len(facts.inputs)} sites, which its files name. Remove site.",
            )
        site, trained = task.sae_site(name), facts.site
        theirs = task.at(trained, models[0]) if trained else site
        known = site.fraction is None and theirs.fraction is None
        if known and spec.check_site and site != theirs:
            yield (
                (*at, "site"),
                f"{site}, but the SAE says of itself that it was trained at {trained}. "
                "Change the site; if the metadata are wrong, set check_site = false.",
            )
        for model in dict.fromkeys(models):
            for one in task.sae_sites(name):
                yield from _depth(task, one, model, (*at, "site"))
            for side in task.sides_on(name, model):
                yield from _width(task, name, model, at, side)


def _two_models(task: Task, spec: SaeSpec, at: KeyParts) -> Iterator[Misfit]:
    """An SAE of a pair whose two views are of one model, or edited: it was trained on two."""
    if spec.pair is None:
        return
    pair = task.spec.pairs[spec.pair]
    left, right = (task.spec.views[view] for view in (pair.left, pair.right))
    if left.model == right.model:
        yield (
            (*at, "pair"),
            f"{spec.pair} has {left.model} on both sides, and the SAE was trained on two models. "
            "Allowed: a pair of different models.",
        )


def _unplaced(task: Task, sae: str) -> str:
    """What the metadata of an SAE say of its place, which is no site."""
    place = task.sae_facts(sae).place
    if place is None:
        return "do not say where it belongs."
    near = nearest_to_hook(place)
    told = f"name {for_terminal(place)!r}" + (f". {near}" if near else ", which is no site")
    return f"{told}. Write the site that it reads, if there is one."


# ── Pairs and metrics ────────────────────────────────────────────────────────────────────────────


def _pairs(task: Task) -> Iterator[Misfit]:
    for name, pair in task.spec.pairs.items():
        at = ("pairs", name)
        models = _models(task, (pair.left, pair.right))
        yield from _span(pair, at)
        yield from _packing(task, pair, models, at)
        yield from _skipped(task, pair, at)
        yield from _expectation(task, pair, at)
        yield from _hidden_sizes(task, models, at)
        yield from _written_places(task, models, pair.sites, at)
        yield from _widths(task, pair.saes, (pair.left, pair.right), (*at, "saes"))


def _span(pair: PairSpec, at: KeyParts) -> Iterator[Misfit]:
    """Options that do not go with sides that render their own prompts."""
    if pair.align != "span":
        return
    if pair.pack is not None:
        yield (
            (*at, "pack"),
            'cannot be had with align = "span": documents with contexts of their own are '
            "read one by one. Leave one of them out.",
        )
    if pair.render != "left":
        yield (
            (*at, "render"),
            'has no meaning with align = "span": each side renders its own.',
        )


def _packing(task: Task, pair: PairSpec, models: Sequence[str], at: KeyParts) -> Iterator[Misfit]:
    """Rows that are longer than a model reads at once."""
    for model in models:
        context = task.model_facts[model].context
        if pair.pack is not None and context is not None and pair.pack > context:
            yield (
                (*at, "pack"),
                f"{pair.pack} tokens are more than {model} reads at once. "
                f"Allowed: up to {context}.",
            )


def _skipped(task: Task, pair: PairSpec, at: KeyParts) -> Iterator[Misfit]:
    """Documents that end before anything of them is measured."""
    for view in dict.fromkeys((pair.left, pair.right)):
        most = task.spec.views[view].prompt.max_tokens
        if most is not None and pair.skip_first >= most:
            yield (
                (*at, "skip_first"),
                f"is {pair.skip_first}, and the prompts of {view} have {most} tokens at most "
                f"(max_tokens), so nothing is measured. Allowed: 0 to {most - 1}.",
            )


def _expectation(task: Task, pair: PairSpec, at: KeyParts) -> Iterator[Misfit]:
    """An expectation of a pair with a view that is edited with what the task finds."""
    edited = [view for view in (pair.left, pair.right) if task.edited_by(view)]
    if edited and pair.expect is not None:
        yield (
            (*at, "expect"),
            f"compares models before anything is found, and {edited[0]} is edited with a "
            "direction of this task. Leave it out; the edit has a receipt of its own.",
        )


def _hidden_sizes(task: Task, models: Sequence[str], at: KeyParts) -> Iterator[Misfit]:
    left, right = models[0], models[-1]
    one, other = (task.model_facts[model].d_model for model in (left, right))
    if None not in (one, other) and one != other:
        yield at, f"{left} has hidden size {one}, {right} has {other}. A pair needs equal ones."


def _metrics(task: Task) -> Iterator[Misfit]:
    for name, entry in task.metrics.items():
        at, spec = ("metrics", name), task.spec.metrics[name]
        measured = task.places.metrics[name]
        if entry.options.paired and spec.pair is None:
            yield (
                at,
                f"{entry.owner} compares two views. Give it a pair, not one view of some data.",
            )
        if entry.options.on_sae and not measured.saes:
            yield (
                at,
                f"{entry.owner} measures an SAE, and there is none. Write saes = […] here or "
                "in the pair.",
            )
        elif not measured.saes and not measured.sites:
            yield (
                at,
                "there is nowhere to measure. Write saes = […] or sites = […] here or in the pair.",
            )
        for target in measured.saes:
            sae = target.sae or ""
            facts, of_pair, paired = task.sae_facts(sae), task.of_pair(sae), spec.pair is not None
            if what := unfit_metric(entry.owner, entry.options, sae, facts, of_pair, paired):
                yield at, what
        views = (measured.stream.view, measured.stream.right)
        yield from _written_places(task, _models(task, views), spec.sites or (), at)
        yield from _widths(task, spec.saes or (), views, (*at, "saes"))


def _written_places(
    task: Task, models: Iterable[str], sites: Sequence[str], at: KeyParts
) -> Iterator[Misfit]:
    """The `sites` of a table, held against each model that is read there."""
    for model in models:
        for site in sites:
            yield from _depth(task, parse_site(site), model, (*at, "sites"))


def _widths(
    task: Task, saes: Iterable[str], views: Sequence[str | None], at: KeyParts
) -> Iterator[Misfit]:
    """SAEs held against the models that they read: of a pair against that of their side each."""
    models = [task.spec.views[view].model for view in views if view is not None]
    for sae in saes:
        if task.of_pair(sae):
            for model, side in zip(models, ("left", "right"), strict=False):
                yield from _width(task, sae, model, at, side)
        else:
            for model in dict.fromkeys(models):
                yield from _width(task, sae, model, at)


def _models(task: Task, views: Iterable[str | None]) -> list[str]:
    """The models of some views, each once."""
    return list(dict.fromkeys(task.spec.views[v].model for v in views if v is not None))


# ── Directions and statistics ────────────────────────────────────────────────────────────────────


def _reductions(task: Task) -> Iterator[Misfit]:
    needs: dict[KeyParts, list[KeyParts]] = {}
    for instances in [*task.directions.values(), *task.statistics.values()]:
        at = table, name = instances[0].table, instances[0].entry
        if at == ("directions", NO_EDIT):
            yield at, "is the name of the arm without a direction. Rename it."
        yield from _sweep(task, table, name)
        needs[at] = []
        for instance in instances:
            try:
                reads = instance.options.reads(task)
            except TaskError as error:
                yield from (((*at, one.where), one.what) for one in error.problems)
                break
            yield from _reads(task, reads, at)
            yield from _joined(task, instance, reads, at)
            for other in (*reads.start, *reads.finish):
                needs[at].append(("directions", other))
                yield from _one_of(task, other, instance)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        names = [name for _, name in reversed(error.args[1])]
        yield ("directions", names[0]), f"needs itself: {' → '.join(names)}."


def _sweep(task: Task, table: Literal["directions", "statistics"], name: str) -> Iterator[Misfit]:
    specs: Mapping[str, DirectionSpec | StatisticSpec] = getattr(task.spec, table)
    for key, values in specs[name].sweep.items():
        at = (table, name, "sweep", key)
        if key in type(specs[name]).model_fields:
            yield at, f"{key} is no option of the method: it cannot be swept."
        if len({repr(value) for value in values}) < len(values):
            yield at, f"has a value twice: one of the {table} twice."


def _reads(task: Task, reads: Reads, at: KeyParts) -> Iterator[Misfit]:
    views = {view for s in reads.streams for view in (s.view, s.right) if view is not None}
    data = {stream.data for stream in reads.streams}
    for unknown in sorted((views - task.spec.views.keys()) | (data - task.spec.data.keys())):
        yield at, f"reads {unknown!r}, which the task does not have."
    for model in _models(task, sorted(views & task.spec.views.keys())):
        for site in reads.sites:
            yield from _depth(task, site, model, (*at, "site"))
        for sae in reads.saes:
            if not task.of_pair(sae):
                yield from _width(task, sae, model, at)


def _joined(task: Task, instance: Instance, reads: Reads, at: KeyParts) -> Iterator[Misfit]:
    """SAEs that join several activations, where the method cannot, or only one side is read."""
    for sae in reads.saes:
        facts, of_pair = task.sae_facts(sae), task.of_pair(sae)
        able = instance.options.joined_saes
        if what := unfit_reduction(instance.owner, able, sae, facts, of_pair):
            yield at, what
            continue
        alone = [stream.view for stream in reads.streams if stream.right is None]
        if of_pair and alone:
            yield (
                at,
                f"the SAE {sae} reads both sides of a pair at once, and the view {alone[0]} has no "
                "other side. Give it a pair.",
            )


def _one_of(task: Task, direction: str, instance: Instance) -> Iterator[Misfit]:
    """Where it is not clear which variant of a direction an instance needs."""
    variants = [v for one in task.directions.get(direction, ()) for v in one.variants()]
    if len(variants) > 1 and variants.count(instance.axes) != 1:
        yield (
            (instance.table, instance.entry),
            f"{direction} is {len(variants)} directions (a sweep, or several draws), and "
            f"{instance.entry} needs one. Use a direction without a sweep, or the same sweep.",
        )


# ── Experiments ──────────────────────────────────────────────────────────────────────────────────


def _experiments(task: Task) -> Iterator[Misfit]:
    for name, experiment in task.spec.experiments.items():
        at = ("experiments", name)
        if task.edited_by(experiment.view):
            yield (
                (*at, "view"),
                f"{experiment.view} is edited already. Give its model a view without an edit; the "
                "experiment's intervention edits it.",
            )
        entry = task.interventions.get(name)
        if entry is not None and entry.options.beside() is not None:
            yield (
                (*at, "intervention"),
                f"{entry.owner} needs another view's activations of the same tokens, and "
                "completions are tokens that no other view has read. Use its constant variant, or "
                "put the intervention into a view: views.NAME.edit.",
            )
        if entry is not None and entry.options.on_sae:
            yield from _zeroed(task, experiment.directions, entry.owner, at)
        options = [task.evaluators[evaluator].options for evaluator in experiment.evaluators]
        judges = [one for one in options if not isinstance(one, BenchmarkOptions)]
        if judges and experiment.data is None:
            yield (
                (*at, "data"),
                "is missing: these evaluators judge completions of prompts. "
                f"Allowed: {listed(task.spec.data)}.",
            )


def _edits(task: Task) -> Iterator[Misfit]:
    """Edits of views that run an SAE, with directions of an SAE that reads more than the view."""
    for name, entry in task.edits.items():
        edit = task.spec.views[name].edit
        if edit is not None and entry.options.on_sae:
            yield from _zeroed(task, (edit.direction,), entry.owner, ("views", name, "edit"))


def _zeroed(task: Task, directions: Iterable[str], owner: object, at: KeyParts) -> Iterator[Misfit]:
    """Directions of SAEs that cannot encode what one model has at one site."""
    for name in directions:
        for instance in task.directions.get(name, ())[:1]:
            for sae in _saes_read(task, instance):
                if task.of_pair(sae) or task.sae_facts(sae).inputs:
                    yield (
                        at,
                        f"{owner} encodes what one model has at one site, and the SAE {sae} of "
                        f"{name} reads more than that. Allowed: ablation of the direction, or an "
                        "SAE of one model.",
                    )


def _saes_read(task: Task, instance: Instance) -> Sequence[str]:
    try:
        return instance.options.reads(task).saes
    except TaskError:
        return ()  # reported with the direction


def _gates(task: Task) -> Iterator[Misfit]:
    found = measurable(task.owners()) if task.spec.gates else None
    for name, spec in task.spec.gates.items() if found is not None else ():
        if what := unmeasured(parse(name, spec.condition), found or ()):
            yield ("gates", name, "assert"), what


# ── An SAE or a site, and a model ────────────────────────────────────────────────────────────────


def _width(
    task: Task, sae: str, model: str, at: KeyParts, side: str | None = None
) -> Iterator[Misfit]:
    """An SAE that reads another width than a model has; of one of a pair, the model on `side`."""
    which = "" if at[0] == "saes" else f" {sae}"
    for site, d_in in task.sae_reads(sae, side):
        width = task.model_facts[model].width(site)
        if d_in is not None and width is not None and d_in != width:
            trained = task.sae_facts(sae).model
            by = f" Its files name {for_terminal(trained)}." if trained else ""
            of = f" on the {side} side" if side else ""
            yield (
                at,
                f"the SAE{which} reads {d_in} numbers per token{of}, but {model} has {width} at "
                f"{site}. Choose an SAE that was trained on this model.{by}",
            )


def _depth(task: Task, site: Site, model: str, at: KeyParts) -> Iterator[Misfit]:
    layers = task.layers(model)
    if layers is not None and site.layer is not None and site.layer >= layers:
        yield (
            at,
            f"{site} is deeper than {model}, which has {layers} blocks. "
            f"Allowed: {site.kind}.0 to {site.kind}.{layers - 1}.",
        )
