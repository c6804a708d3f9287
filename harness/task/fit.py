"""Whether the parts of a task fit each other, as far as configuration files tell."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.contract import BenchmarkOptions
from harness.contract.described import fields_of
from harness.contract.sites import nearest_to_hook, parse_site
from harness.errors import DataError, ModelError, TaskError, listed
from harness.task.causes import Misfit, merged
from harness.task.claimed import unfit_claims
from harness.task.data import read_data
from harness.task.familied import unfit_families
from harness.task.followed import unfollowed
from harness.task.gates import parse
from harness.task.ids import measurable, unmeasured
from harness.task.joins import unjoined
from harness.task.labelled import mislabelled
from harness.task.offered import unoffered
from harness.task.pair_saes import edit_sae, joined, joined_metric, two_models
from harness.task.readers import unreadable
from harness.task.sizes import hidden_sizes, sae_depth, sae_width, sae_widths, site_depth
from harness.task.stream_edits import unfit_edits
from harness.task.task import NO_EDIT
from harness.task.validate import references
from harness.text import for_terminal

if TYPE_CHECKING:
    from harness.contract import Reads
    from harness.errors import Problem
    from harness.task.spec import DirectionSpec, PairSpec, StatisticSpec
    from harness.task.task import Instance, Task
    from harness.task.validate import KeyParts

LARGEST = 2**26
"""Bytes up to which a local data file is opened by `check`."""


def misfits(task: Task) -> Iterator[Problem]:
    """Everything that does not fit: widths, depths, templates, vocabularies, circles.

    What comes of one mistake is one problem.
    """
    for one in merged(_misfits(task)):
        yield task.source.problem(one.at, one.what)


def _misfits(task: Task) -> Iterator[Misfit]:
    yield from _data(task)
    yield from _weights(task)
    yield from _views(task)
    wrong = list(_saes(task))
    yield from wrong
    if task.spec.saes.keys() - task.places.saes.keys():
        return  # reported by _saes; everything below needs the sites of SAEs
    yield from unoffered(task)
    misplaced = frozenset(str(one.at[1]) for one in wrong)
    yield from _pairs(task, misplaced)
    yield from _metrics(task, misplaced)
    yield from _reductions(task, misplaced)
    yield from _experiments(task)
    yield from _edits(task)
    yield from mislabelled(task)
    yield from _gates(task)
    yield from unfit_claims(task)
    yield from unfit_families(task)


def _data(task: Task) -> Iterator[Misfit]:
    """Local files are opened: a column that is not there should not wait for a model."""
    for name, spec in task.spec.data.items():
        if spec.file is None or Path(spec.file).stat().st_size > LARGEST:
            continue
        try:
            deque(read_data(name, spec, Path()), maxlen=0)  # reads every row and keeps none
        except DataError as error:
            yield Misfit(("data", name), str(error).removeprefix(f"data.{name}: "))


def _weights(task: Task) -> Iterator[Misfit]:
    """Folders of models and adapters that hold nothing that can be loaded."""
    for name, entry in task.models.items():
        try:
            entry.options.check()
        except ModelError as error:
            yield Misfit(("models", name), str(error))


def _views(task: Task) -> Iterator[Misfit]:
    for name, view in task.spec.views.items():
        if view.prompt.style == "chat" and task.model_facts[view.model].chat_template is False:
            yield Misfit(
                ("views", name, "prompt"),
                f'the tokenizer of {view.model} has no chat template. Use style = "plain", or '
                "a tokenizer that has one.",
            )
        if view.prompt.style != "chat" and view.prompt.template_arguments:
            yield Misfit(
                ("views", name, "prompt", "template_arguments"),
                'are for the chat template, and this prompt is plain. Use style = "chat", or '
                "leave them out.",
            )
        for key in ("tools", "documents"):
            if view.prompt.style != "chat" and getattr(view.prompt, key) is not None:
                yield Misfit(
                    ("views", name, "prompt", key),
                    'is for the chat template, and this prompt is plain. Use style = "chat", or '
                    "leave it out.",
                )


def _saes(task: Task) -> Iterator[Misfit]:
    for name, spec in task.spec.saes.items():
        at = ("saes", name)
        if name not in task.places.saes:
            missing = f"is missing, and the SAE's own metadata {_unplaced(task, name)}"
            yield Misfit((*at, "site"), missing)
            continue
        models, facts = task.sae_models(name), task.sae_facts(name)
        if what := unjoined(spec, facts):
            yield Misfit((*at, "model" if spec.model else "pair"), what)
            continue
        yield from two_models(task, name, at)
        if spec.site and len(facts.inputs) > 1 and not facts.of_pair:
            yield Misfit(
                (*at, "site"),
                f"the SAE reads {len(facts.inputs)} sites, which its files name. Remove site.",
            )
        site, trained = task.sae_site(name), facts.site
        theirs = task.at(trained, models[0]) if trained else site
        known = site.fraction is None and theirs.fraction is None
        elsewhere = known and spec.check_site and site != theirs
        if elsewhere:
            yield Misfit(
                (*at, "site"),
                f"{site}, but the SAE says of itself that it was trained at {trained}. "
                "Change the site; if the metadata are wrong, set check_site = false.",
            )
        elif depth := [
            one for model in dict.fromkeys(models) for one in sae_depth(task, name, model, at)
        ]:
            yield from depth
        else:
            for model in dict.fromkeys(models):
                for side in task.sides_on(name, model):
                    yield from sae_width(task, name, model, at, side)


def _unplaced(task: Task, sae: str) -> str:
    """What the metadata of an SAE say of its place, which is no site."""
    place = task.sae_facts(sae).place
    if place is None:
        return 'do not say where it belongs. Write it, such as site = "resid_post.12".'
    near = nearest_to_hook(place)
    told = f"name {for_terminal(place)!r}" + (f". {near}" if near else ", which is no site")
    return f"{told}. Write the site that it reads, if there is one."


# ── Pairs and metrics ────────────────────────────────────────────────────────────────────────────


def _pairs(task: Task, misplaced: Set[str]) -> Iterator[Misfit]:
    """What does not fit in pairs; SAEs that are `misplaced` are wrong wherever they are used."""
    for name, pair in task.spec.pairs.items():
        at = ("pairs", name)
        models = _models(task, (pair.left, pair.right))
        yield from _span(pair, at)
        yield from _packing(task, pair, models, at)
        yield from _skipped(task, pair, at)
        yield from _expectation(task, pair, at)
        yield from hidden_sizes(task, models[0], models[-1], at)
        yield from _written_places(task, models, pair.sites, at)
        saes = [sae for sae in pair.saes if sae not in misplaced]
        yield from sae_widths(task, saes, (pair.left, pair.right), (*at, "saes"))


def _span(pair: PairSpec, at: KeyParts) -> Iterator[Misfit]:
    """Options that do not go with sides that render their own prompts."""
    if pair.align != "span":
        return
    if pair.pack is not None:
        yield Misfit(
            (*at, "pack"),
            'cannot be had with align = "span": documents with contexts of their own are '
            "read one by one. Leave one of them out.",
        )
    if pair.render != "left":
        yield Misfit(
            (*at, "render"),
            'has no meaning with align = "span": each side renders its own.',
        )


def _packing(task: Task, pair: PairSpec, models: Sequence[str], at: KeyParts) -> Iterator[Misfit]:
    """Rows that are longer than a model reads at once."""
    for model in models:
        context = task.model_facts[model].context
        if pair.pack is not None and context is not None and pair.pack > context:
            yield Misfit(
                (*at, "pack"),
                f"{pair.pack} tokens are more than {model} reads at once. "
                f"Allowed: up to {context}.",
                (*at, "pack"),
            )


def _skipped(task: Task, pair: PairSpec, at: KeyParts) -> Iterator[Misfit]:
    """Documents that end before anything of them is measured."""
    for view in dict.fromkeys((pair.left, pair.right)):
        most = task.spec.views[view].prompt.max_tokens
        if most is not None and pair.skip_first >= most:
            yield Misfit(
                (*at, "skip_first"),
                f"is {pair.skip_first}, and the prompts of {view} have {most} tokens at most "
                f"(max_tokens), so nothing is measured. Allowed: 0 to {most - 1}.",
                (*at, "skip_first"),
            )


def _expectation(task: Task, pair: PairSpec, at: KeyParts) -> Iterator[Misfit]:
    """An expectation of a pair with a view that is edited with what the task finds."""
    edited = [view for view in (pair.left, pair.right) if task.edited_by(view)]
    if edited and pair.expect is not None:
        yield Misfit(
            (*at, "expect"),
            f"compares models before anything is found, and {edited[0]} is edited with a "
            "direction of this task. Leave it out; the edit has a receipt of its own.",
        )


def _metrics(task: Task, misplaced: Set[str]) -> Iterator[Misfit]:
    for name, entry in task.metrics.items():
        at, spec = ("metrics", name), task.spec.metrics[name]
        measured = task.places.metrics[name]
        inherited = spec.pair is not None and spec.saes is None and spec.sites is None
        nowhere = ("pairs", spec.pair, "without places") if inherited else None
        if entry.options.paired and spec.pair is None:
            yield Misfit(
                at,
                f"{entry.owner} compares two views. Give it a pair, not one view of some data.",
            )
        if entry.options.on_sae and not measured.saes:
            yield Misfit(
                at,
                f"{entry.owner} measures an SAE, and there is none. Write saes = […] here or "
                "in the pair.",
                nowhere,
            )
        elif not measured.saes and not measured.sites:
            yield Misfit(
                at,
                "there is nowhere to measure. Write saes = […] or sites = […] here or in the pair.",
                nowhere,
            )
        known = [one.sae for one in measured.saes if one.sae and one.sae not in misplaced]
        yield from joined_metric(task, entry, known, measured.stream, at)
        views = (measured.stream.view, measured.stream.right)
        yield from _written_places(task, _models(task, views), spec.sites or (), at)
        saes = [sae for sae in spec.saes or () if sae not in misplaced]
        yield from sae_widths(task, saes, views, (*at, "saes"))


def _written_places(
    task: Task, models: Iterable[str], sites: Sequence[str], at: KeyParts
) -> Iterator[Misfit]:
    """The `sites` of a table, held against each model that is read there."""
    for model in models:
        for site in sites:
            yield from site_depth(task, parse_site(site), model, (*at, "sites"))


def _models(task: Task, views: Iterable[str | None]) -> list[str]:
    """The models of some views, each once."""
    return list(dict.fromkeys(task.spec.views[v].model for v in views if v is not None))


# ── Directions and statistics ────────────────────────────────────────────────────────────────────


def _reductions(task: Task, misplaced: Set[str]) -> Iterator[Misfit]:
    needs: dict[KeyParts, list[KeyParts]] = {}
    for instances in [*task.directions.values(), *task.statistics.values()]:
        at = table, name = instances[0].table, instances[0].entry
        if at == ("directions", NO_EDIT):
            yield Misfit(at, "is the name of the arm without a direction. Rename it.")
        yield from _sweep(task, table, name)
        needs[at] = []
        for instance in instances:
            if misplaced & set(references(instance.options, "saes")):
                continue
            try:
                reads = instance.options.reads(task)
            except TaskError as error:
                yield from (Misfit((*at, one.where), one.what) for one in error.problems)
                break
            yield from _reads(task, reads, at)
            yield from unfollowed(task, reads, at)
            yield from joined(task, instance, reads, at)
            yield from unfit_edits(task, instance)
            edits = [stream.edit.direction for stream in reads.streams if stream.edit is not None]
            needs[at] += [("directions", other) for other in dict.fromkeys(edits)]
            for other in (*reads.start, *reads.finish):
                needs[at].append(("directions", other))
                yield from _one_of(task, other, instance)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        names = [name for _, name in reversed(error.args[1])]
        yield Misfit(("directions", names[0]), f"needs itself: {' → '.join(names)}.")


def _sweep(task: Task, table: Literal["directions", "statistics"], name: str) -> Iterator[Misfit]:
    specs: Mapping[str, DirectionSpec | StatisticSpec] = getattr(task.spec, table)
    for key, values in specs[name].sweep.items():
        at = (table, name, "sweep", key)
        if key in fields_of(type(specs[name])):
            yield Misfit(at, f"{key} is no option of the method: it cannot be swept.")
        if len({repr(value) for value in values}) < len(values):
            yield Misfit(at, f"has a value twice: one of the {table} twice.")


def _reads(task: Task, reads: Reads, at: KeyParts) -> Iterator[Misfit]:
    views = {view for s in reads.streams for view in (s.view, s.right) if view is not None}
    data = {stream.data for stream in reads.streams}
    for unknown in sorted((views - task.spec.views.keys()) | (data - task.spec.data.keys())):
        yield Misfit(at, f"reads {unknown!r}, which the task does not have.")
    for model in _models(task, sorted(views & task.spec.views.keys())):
        for site in (*reads.sites, *(path.site for path in reads.paths)):
            yield from site_depth(task, site, model, (*at, "site"))
        for sae in reads.saes:
            if not task.of_pair(sae):
                yield from sae_width(task, sae, model, at)


def _one_of(task: Task, direction: str, instance: Instance) -> Iterator[Misfit]:
    """Where it is not clear which variant of a direction an instance needs."""
    variants = [v for one in task.directions.get(direction, ()) for v in one.variants(task)]
    if len(variants) > 1 and variants.count(instance.axes) != 1:
        yield Misfit(
            (instance.table, instance.entry),
            f"{direction} is {len(variants)} directions (a sweep, or several draws), and "
            f"{instance.entry} needs one. Use a direction without a sweep, or the same sweep.",
        )


# ── Experiments ──────────────────────────────────────────────────────────────────────────────────


def _experiments(task: Task) -> Iterator[Misfit]:
    for name, experiment in task.spec.experiments.items():
        at = ("experiments", name)
        if task.edited_by(experiment.view):
            yield Misfit(
                (*at, "view"),
                f"{experiment.view} is edited already. Give its model a view without an edit; the "
                "experiment's intervention edits it.",
            )
        entry = task.interventions.get(name)
        if entry is not None and entry.options.beside() is not None:
            yield Misfit(
                (*at, "intervention"),
                f"{entry.owner} needs another view's activations of the same tokens, and "
                "completions are tokens that no other view has read. Use its constant variant, or "
                "put the intervention into a view: views.NAME.edit.",
            )
        if entry is not None:
            model = task.spec.views[experiment.view].model
            yield from edit_sae(task, entry, experiment.directions, model, at)
            yield from unreadable(task, entry, experiment.directions, (*at, "directions"))
        options = [task.evaluators[evaluator].options for evaluator in experiment.evaluators]
        judges = [one for one in options if not isinstance(one, BenchmarkOptions)]
        if judges and experiment.data is None:
            yield Misfit(
                (*at, "data"),
                "is missing: these evaluators judge completions of prompts. "
                f"Allowed: {listed(task.spec.data)}.",
            )


def _edits(task: Task) -> Iterator[Misfit]:
    """Edits of views that run an SAE which cannot be run on what they edit."""
    for name, entry in task.edits.items():
        edit = task.spec.views[name].edit
        if edit is not None:
            model, at = task.spec.views[name].model, ("views", name, "edit")
            yield from edit_sae(task, entry, (edit.direction,), model, at)
            yield from unreadable(task, entry, (edit.direction,), (*at, "direction"))


def _gates(task: Task) -> Iterator[Misfit]:
    found = measurable(task.owners())
    for name, spec in task.spec.gates.items():
        if what := unmeasured(parse(name, spec.condition), found):
            yield Misfit(("gates", name, "assert"), what)
