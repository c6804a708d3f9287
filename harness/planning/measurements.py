"""The jobs that measure: metrics at every place and side, and what share a filter lets through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.contract import Reads, Target, Where
from harness.planning.reads import editing_directions, filtered
from harness.planning.steps import (
    FilterJob,
    MetricJob,
    ThresholdJob,
    awaited,
)

if TYPE_CHECKING:
    from harness.contract import Axes, MetricOptions, Site, Stream
    from harness.planning.steps import (
        ReductionJob,
        SideName,
    )
    from harness.task.places import Measured
    from harness.task.task import Task


def metric_jobs(task: Task) -> Iterator[MetricJob]:
    """A job for each metric, each place at which it measures, and each side that it measures."""
    for name, entry in task.metrics.items():
        measured = task.places.metrics[name]
        for target in _targets(task, measured, entry.options):
            for place in sides_of(task, target, measured.stream, entry.options):
                yield _metric_job(task, name, measured, place)


def filter_jobs(task: Task, metrics: list[MetricJob]) -> Iterator[FilterJob]:
    """A count for each filter of each pair at each site, however many metrics use it."""
    seen: set[tuple[str | None, Where]] = set()
    for job in metrics:
        pair, stream = task.spec.metrics[job.entry].pair, job.reads.streams[0]
        where = stream.where
        # What `skip_first` alone leaves out depends on nothing but the lengths of the texts.
        if where.site is None or (pair, where) in seen:
            continue
        seen.add((pair, where))
        axes = {**task.places.metrics[job.entry].axes, "data": stream.data, "site": str(where.site)}
        bare = replace(stream, where=Where())
        reads = Reads((bare,), (where.site,), start=editing_directions(task, [bare]))
        yield FilterJob(where, where.site, axes, reads)


def threshold_jobs(task: Task, jobs: Iterable[MetricJob | ReductionJob]) -> Iterator[ThresholdJob]:
    """What finds the threshold of each stream that some job filters by `cosine_quantile`."""
    seen: set[Stream] = set()
    for job in jobs:
        for stream in awaited(job):
            where = stream.where
            if stream in seen or where.site is None or where.cosine_quantile is None:
                continue
            seen.add(stream)
            axes = {**_of_entry(task, job), "data": stream.data, "site": str(where.site)}
            # The same tokens are measured; none of them is left out by a condition on the cosine.
            site = where.site if where.max_norm_ratio is not None else None
            bare = Where(where.skip_first, where.max_norm_ratio, site=site)
            own = replace(stream, name="pair", where=bare)
            reads = Reads((own,), (where.site,), start=editing_directions(task, [own]))
            yield ThresholdJob(where.cosine_quantile, where.site, axes, reads, stream)


def _of_entry(task: Task, job: MetricJob | ReductionJob) -> Axes:
    """The axes that tell the stream of a job from others: those of its pair, or its entry."""
    if isinstance(job, MetricJob):
        return task.places.metrics[job.entry].axes
    return {"statistic" if job.statistic else "direction": job.entry[1]}


def place_axes(target: Target) -> Mapping[str, str]:
    """The axes of a record that say where it was measured."""
    sae = {"sae": target.sae} if target.sae else {}
    return {"site": str(target.site), **sae}


def sites_of(target: Target) -> tuple[Site, ...]:
    """The sites whose activations are read to measure a target."""
    return (target.site,) if target.out is None else (target.site, target.out)


@dataclass(frozen=True)
class PlacedSide:
    """Which side of a stream is measured at a target, and how its records say so."""

    target: Target
    side: SideName
    axes: Axes = field(default_factory=dict)


def sides_of(
    task: Task, target: Target, stream: Stream, options: MetricOptions
) -> Iterator[PlacedSide]:
    """The sides of a stream that a metric measures at one place.

    An SAE of a pair has one set of latents for both sides, which is measured once, and
    reconstructs each side, or their difference; its records have the axis `side`. One of several
    sites of a model reconstructs each of them.
    """
    name = target.sae
    if name is not None and task.of_pair(name):
        found: list[tuple[SideName, str]] = [("left", "left"), ("right", "right")]
        if options.latents_alone:
            found = [("pair", "both")]
        elif task.sae_facts(name).join == "difference":
            found = [("difference", "difference")]
        for side, told in found:
            yield PlacedSide(target, side, {"side": told})
        return
    sides: list[SideName] = ["left"] if stream.right is None else ["left", "right"]
    sites = (target.site,) if name is None or options.latents_alone else task.sae_sites(name)
    for site in sites if len(sites) > 1 else (target.site,):
        compared: list[SideName] = ["pair"]
        for side in compared if options.paired else sides:
            yield PlacedSide(replace(target, site=site), side)


def _targets(task: Task, measured: Measured, options: MetricOptions) -> list[Target]:
    """Where a metric measures: at SAEs, and, if it needs none, at the sites without one too."""
    if options.on_logits:
        return [Target(task.end(task.spec.views[measured.stream.view].model))]
    if options.on_sae:
        return list(measured.saes)
    # What compares two sides' latents says nothing of an SAE that joins several activations.
    own = [target for target in measured.saes if target.sae and not _joins(task, target.sae)]
    bare = [
        site
        for target in measured.saes
        if target.sae and _joins(task, target.sae)
        for site in task.sae_sites(target.sae)
    ]
    taken = {target.site for target in own}
    others = dict.fromkeys(site for site in (*bare, *measured.sites) if site not in taken)
    return [*own, *map(Target, others)]


def _joins(task: Task, sae: str) -> bool:
    return task.of_pair(sae) or bool(task.sae_facts(sae).inputs)


def _metric_job(task: Task, name: str, measured: Measured, place: PlacedSide) -> MetricJob:
    stream, on_logits = measured.stream, task.metrics[name].options.on_logits
    target, side = place.target, place.side
    view = {"left": stream.view, "right": stream.right}.get(side)
    axes = {
        **measured.axes,
        **({"view": view} if view else {}),
        **place.axes,
        "data": stream.data,
        **({} if on_logits else place_axes(target)),
    }
    where = replace(stream.where, **task.spec.metrics[name].where.model_dump())
    reads = Reads(
        (filtered(stream, where, target.site),),
        () if on_logits else sites_of(target),
        (target.sae,) if target.sae else (),
        on_logits,
        editing_directions(task, [stream]),
    )
    return MetricJob(name, target, side, axes, reads)
