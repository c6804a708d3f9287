"""The jobs of the preflight: whether SAEs sit where they belong, and whether pairs differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.contract import Reads, Site, Stream, Where
from harness.planning.measurements import place_axes, sides_of, sites_of
from harness.planning.reads import filtered
from harness.planning.steps import FilterJob, MetricJob, SentinelJob

if TYPE_CHECKING:
    from harness.contract import Target
    from harness.task.spec import PreflightSpec
    from harness.task.task import Task


def preflight_view(model: str) -> str:
    """The name of the view in which a model's SAEs are checked: its plain text."""
    return f"@{model}"


def sae_jobs(task: Task) -> Iterator[MetricJob]:
    """The metrics of the preflight, for each SAE at its site and at the two neighbours of it."""
    preflight = task.spec.preflight
    if preflight is None:
        return
    for name, own in task.places.saes.items():
        models = task.sae_models(name)
        stream, where = _text(preflight, models), _where(preflight)
        # Of an SAE of several sites each is a place of its own, and none is another's neighbour.
        # Where an SAE rebuilds nothing that could be compared, no site is better than another.
        partial = task.sae_facts(name).partial
        alone = partial or len(task.sae_sites(name)) > 1
        around = () if alone else neighbours(own.site, task.layers(models[0]))
        for moved in (own.site, *around):
            for metric in (preflight.fvu, *preflight.also):
                options = task.preflight[metric].options
                if partial and options.rebuilds():
                    continue
                for place in sides_of(task, _moved(own, moved), stream, options):
                    target, side = place.target, place.side
                    axes = {**_read_by(models, side), **place.axes, "data": preflight.data}
                    reads = Reads(
                        (filtered(stream, where, target.site),), sites_of(target), (name,)
                    )
                    one = side if task.of_pair(name) else "left"
                    yield MetricJob(
                        metric, target, one, {**axes, **place_axes(target)}, reads, preflight=True
                    )


def sink_jobs(task: Task) -> Iterator[FilterJob]:
    """A count of the tokens that the preflight leaves out, for each site of an SAE."""
    preflight = task.spec.preflight
    # What `skip_first` alone leaves out depends on nothing but the lengths of the texts.
    if preflight is None or preflight.max_norm_ratio is None:
        return
    places = [
        (task.sae_models(name), site) for name in task.places.saes for site in task.sae_sites(name)
    ]
    for models, site in dict.fromkeys(places):
        stream = _text(preflight, models)
        where = filtered(stream, _where(preflight), site).where
        axes = {**_read_by(models), "data": preflight.data, "site": str(site)}
        yield FilterJob(where, site, axes, Reads((stream,), (site,)))


def sentinel_jobs(task: Task) -> Iterator[SentinelJob]:
    """A comparison of the two models of each pair of which the task expects something."""
    for name, measured in task.places.pairs.items():
        expect = task.spec.pairs[name].expect
        if expect is None:
            continue
        sites = {target.site for target in measured.saes} | set(measured.sites)
        # Without a site of its own, a pair is compared where everything has come together.
        sites = sites or {task.end(task.spec.views[measured.stream.view].model)}
        stream = replace(measured.stream, where=Where(), budget=None)
        yield SentinelJob(name, expect, Reads((stream,), tuple(sorted(sites))))


def neighbours(site: Site, layers: int | None) -> tuple[Site, ...]:
    """The same kind of site one block below and one above, where there is such a block."""
    if site.layer is None:
        return ()
    around = (site.layer - 1, site.layer + 1)
    return tuple(Site(site.kind, n) for n in around if n >= 0 and (layers is None or n < layers))


def _text(preflight: PreflightSpec, models: Sequence[str]) -> Stream:
    """Plain text as the model of an SAE reads it, or as both models of its pair do."""
    views = [preflight_view(model) for model in models]
    return Stream("text", views[0], preflight.data, views[1] if len(views) > 1 else None)


def _read_by(models: Sequence[str], side: str = "pair") -> dict[str, str]:
    """The axis that says which model was read; both of a pair where nothing is of one of them."""
    by_side = dict(zip(("left", "right"), models, strict=False))
    return {"model": by_side.get(side) or ", ".join(models)}


def _where(preflight: PreflightSpec) -> Where:
    return Where(preflight.skip_first, preflight.max_norm_ratio)


def _moved(target: Target, site: Site) -> Target:
    """An SAE at another site; a transcoder's output moves by as many blocks as its input."""
    out, here = target.out, target.site
    if out is None or out.layer is None or here.layer is None or site.layer is None:
        return replace(target, site=site)
    return replace(target, site=site, out=Site(out.kind, out.layer + site.layer - here.layer))
