"""Whether the parts of a task fit each other, as far as configuration files tell."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.contract import BenchmarkOptions, Reads, Site
from harness.contract.sites import parse_site
from harness.errors import DataError, Problem, TaskError, listed
from harness.task.data import read_data
from harness.task.spec import DirectionSpec, StatisticSpec

if TYPE_CHECKING:
    from harness.task.task import Task

NO_EDIT = "none"
"""The `direction` of the arm that is left as it is."""
LARGEST = 2**26
"""Bytes up to which a local data file is opened by `check`."""


def misfits(task: Task) -> Iterator[Problem]:
    """Everything that does not fit: widths, depths, templates, vocabularies, circles."""
    yield from _data(task)
    yield from _views(task)
    yield from _saes(task)
    if any(_site_unknown(task, name) for name in task.spec.saes):
        return  # said already; everything below asks for sites
    yield from _pairs(task)
    yield from _metrics(task)
    yield from _directions(task)
    yield from _statistics(task)
    yield from _experiments(task)


def _data(task: Task) -> Iterator[Problem]:
    """Local files are opened: a column that is not there should not wait for a model."""
    for name, spec in task.spec.data.items():
        if spec.file is None or Path(spec.file).stat().st_size > LARGEST:
            continue
        try:
            deque(read_data(name, spec, Path()), maxlen=0)  # looks at every row and keeps none
        except DataError as error:
            text = str(error).removeprefix(f"data.{name}: ")
            yield task.source.problem(("data", name), text)


def _site_unknown(task: Task, sae: str) -> bool:
    return task.spec.saes[sae].site is None and task.sae_facts(sae).site is None


def _saes(task: Task) -> Iterator[Problem]:
    for name, spec in task.spec.saes.items():
        at = ("saes", name)
        facts = task.sae_facts(name)
        declared = parse_site(spec.site) if spec.site else None
        if _site_unknown(task, name):
            yield task.source.problem(
                (*at, "site"), "is missing, and the SAE's own metadata do not say where it belongs."
            )
            continue
        site = task.sae_site(name)
        theirs = task.at(facts.site, spec.model) if facts.site else site
        known = site.fraction is None and theirs.fraction is None
        if declared and known and spec.check_site and site != theirs:
            yield task.source.problem(
                (*at, "site"),
                f"{site}, but the SAE says of itself that it was trained at {facts.site}. "
                "Change the site; if the metadata are wrong, set check_site = false.",
            )
        yield from _depth(task, site, spec.model, (*at, "site"))
        yield from _width(task, name, spec.model, at)


def _views(task: Task) -> Iterator[Problem]:
    for name, view in task.spec.views.items():
        facts = task.model_facts[view.model]
        if view.prompt.style == "chat" and facts.chat_template is False:
            yield task.source.problem(
                ("views", name, "prompt"),
                f'the tokenizer of {view.model} has no chat template. Use style = "plain", or '
                "a tokenizer that has one.",
            )


def _pairs(task: Task) -> Iterator[Problem]:
    for name, pair in task.spec.pairs.items():
        at = ("pairs", name)
        if pair.align == "span" and pair.pack is not None:
            yield task.source.problem(
                (*at, "pack"),
                'cannot be had with align = "span": documents with contexts of their own are '
                "read one by one. Leave one of them out.",
            )
        if pair.align == "span" and pair.render != "left":
            yield task.source.problem(
                (*at, "render"), 'has no meaning with align = "span": each side renders its own.'
            )
        left, right = (task.spec.views[view].model for view in (pair.left, pair.right))
        for model in dict.fromkeys((left, right)):
            context = task.model_facts[model].context
            if pair.pack is not None and context is not None and pair.pack > context:
                yield task.source.problem(
                    (*at, "pack"),
                    f"{pair.pack} tokens are more than {model} reads at once. "
                    f"Allowed: up to {context}.",
                )
        edited = [view for view in (pair.left, pair.right) if task.edited_by(view)]
        if edited and pair.expect is not None:
            yield task.source.problem(
                (*at, "expect"),
                f"compares models before anything is found, and {edited[0]} is edited with a "
                "direction of this task. Leave it out; the edit has a receipt of its own.",
            )
        one, other = (task.model_facts[model].d_model for model in (left, right))
        if None not in (one, other) and one != other:
            yield task.source.problem(
                at, f"{left} has hidden size {one}, {right} has {other}. A pair needs equal ones."
            )
        for model in dict.fromkeys((left, right)):
            for site in pair.sites:
                yield from _depth(task, parse_site(site), model, (*at, "sites"))
            for sae in pair.saes:
                yield from _width(task, sae, model, (*at, "saes"))


def _metrics(task: Task) -> Iterator[Problem]:
    for name, entry in task.metrics.items():
        at, spec = ("metrics", name), task.spec.metrics[name]
        pair = task.spec.pairs[spec.pair] if spec.pair is not None else None
        saes = spec.saes if spec.saes is not None else pair.saes if pair else ()
        sites = spec.sites if spec.sites is not None else pair.sites if pair else ()
        if entry.options.paired and pair is None:
            yield task.source.problem(
                at, f"{entry.owner} compares two views. Give it a pair, not one view of some data."
            )
        if entry.options.on_sae and not saes:
            yield task.source.problem(
                at,
                f"{entry.owner} measures an SAE, and there is none. Write saes = […] here or "
                "in the pair.",
            )
        elif not saes and not sites:
            yield task.source.problem(
                at,
                "there is nowhere to measure. Write saes = […] or sites = […] here or in the pair.",
            )
        views = (pair.left, pair.right) if pair else (spec.view,)
        for model in dict.fromkeys(task.spec.views[v].model for v in views if v is not None):
            for site in spec.sites or ():
                yield from _depth(task, parse_site(site), model, (*at, "sites"))
            for sae in spec.saes or ():
                yield from _width(task, sae, model, (*at, "saes"))


def _directions(task: Task) -> Iterator[Problem]:
    needs: dict[str, set[str]] = {}
    for name, instances in task.directions.items():
        at = ("directions", name)
        if name == NO_EDIT:
            yield task.source.problem(at, "is the name of the arm without a direction. Rename it.")
        yield from _sweep(task, "directions", name)
        needs[name] = set()
        for instance in instances:
            try:
                reads = instance.options.reads(task)
            except TaskError as error:
                yield from (task.source.problem((*at, p.where), p.what) for p in error.problems)
                break
            needs[name] |= {*reads.start, *reads.finish}
            yield from _reads(task, reads, at)
        for other in needs[name] & task.directions.keys():
            offered = [v for i in task.directions[other] for v in i.variants()]
            if len(offered) > 1 and any(offered.count(i.axes) != 1 for i in instances):
                yield task.source.problem(at, _several(other, len(offered), name))
    if circle := _circle(needs):
        yield task.source.problem(("directions", circle[0]), f"needs itself: {' → '.join(circle)}.")


def _statistics(task: Task) -> Iterator[Problem]:
    for name, instances in task.statistics.items():
        at = ("statistics", name)
        yield from _sweep(task, "statistics", name)
        for instance in instances:
            try:
                reads = instance.options.reads(task)
            except TaskError as error:
                yield from (task.source.problem((*at, p.where), p.what) for p in error.problems)
                break
            yield from _reads(task, reads, at)
            for other in (*reads.start, *reads.finish):
                offered = [v for i in task.directions.get(other, ()) for v in i.variants()]
                if len(offered) > 1 and offered.count(instance.axes) != 1:
                    yield task.source.problem(at, _several(other, len(offered), name))
                    break


def _several(other: str, count: int, name: str) -> str:
    return (
        f"{other} is {count} directions (a sweep, or several draws), and {name} needs one. "
        "Use a direction without a sweep, or the same sweep."
    )


def _experiments(task: Task) -> Iterator[Problem]:
    for name, experiment in task.spec.experiments.items():
        if task.edited_by(experiment.view):
            yield task.source.problem(
                ("experiments", name, "view"),
                f"{experiment.view} is edited already. Give its model a view without an edit; the "
                "experiment's intervention edits it.",
            )
        entry = task.interventions.get(name)
        if entry is not None and entry.options.beside() is not None:
            yield task.source.problem(
                ("experiments", name, "intervention"),
                f"{entry.owner} needs another view's activations of the same tokens, and "
                "completions are tokens that no other view has read. Use its constant variant, or "
                "put the intervention into a view: views.NAME.edit.",
            )
        options = [task.evaluators[evaluator].options for evaluator in experiment.evaluators]
        asks = [one for one in options if not isinstance(one, BenchmarkOptions)]
        if asks and experiment.data is None:
            yield task.source.problem(
                ("experiments", name, "data"),
                "is missing: these evaluators judge completions of prompts. "
                f"Allowed: {listed(task.spec.data)}.",
            )


def _reads(task: Task, reads: Reads, at: tuple[str, ...]) -> Iterator[Problem]:
    views = {view for s in reads.streams for view in (s.view, s.right) if view is not None}
    data = {stream.data for stream in reads.streams}
    for unknown in sorted((views - task.spec.views.keys()) | (data - task.spec.data.keys())):
        yield task.source.problem(at, f"reads {unknown!r}, which the task does not have.")
    for view in sorted(views & task.spec.views.keys()):
        model = task.spec.views[view].model
        for site in reads.sites:
            yield from _depth(task, site, model, (*at, "site"))
        for sae in reads.saes:
            yield from _width(task, sae, model, at)


def _sweep(task: Task, table: str, name: str) -> Iterator[Problem]:
    specs: Mapping[str, DirectionSpec | StatisticSpec] = getattr(task.spec, table)
    for key, values in specs[name].sweep.items():
        at = (table, name, "sweep", key)
        if key in type(specs[name]).model_fields:
            yield task.source.problem(at, f"{key} is no option of the method: it cannot be swept.")
        if len({repr(value) for value in values}) < len(values):
            yield task.source.problem(at, f"has a value twice: one of the {table} twice.")


def _width(task: Task, sae: str, model: str, at: tuple[str, ...]) -> Iterator[Problem]:
    site, d_in = task.sae_site(sae), task.sae_facts(sae).d_in
    width = task.model_facts[model].width(site)
    which = "" if at[0] == "saes" else f" {sae}"
    if d_in is not None and width is not None and d_in != width:
        yield task.source.problem(
            at,
            f"the SAE{which} reads {d_in} numbers per token, but {model} has {width} at {site}. "
            "Choose an SAE that was trained on this model.",
        )


def _depth(task: Task, site: Site, model: str, at: tuple[str, ...]) -> Iterator[Problem]:
    layers = task.layers(model)
    if layers is not None and site.layer is not None and site.layer >= layers:
        yield task.source.problem(
            at,
            f"{site} is deeper than {model}, which has {layers} blocks. "
            f"Allowed: {site.kind}.0 to {site.kind}.{layers - 1}.",
        )


def _circle(needs: dict[str, set[str]]) -> list[str]:
    """A chain of names that leads back to its start, if there is one."""

    def walk(name: str, chain: list[str]) -> list[str]:
        if name in chain:
            return [*chain[chain.index(name) :], name]
        for other in sorted(needs.get(name, ())):
            if found := walk(other, [*chain, name]):
                return found
        return []

    for name in needs:
        if found := walk(name, []):
            return found
    return []
