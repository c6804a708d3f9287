"""What a task will do, as a list of passes: everything it asks for in the fewest forwards.

A pass reads activations once for all jobs of its level. A job that needs a direction to start
comes a level after it; one that needs it only to finish shares its pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from harness.contract import Axes, Reads, Site, Stream, Target, Where
from harness.contract.sites import parse_site
from harness.task.fit import NO_EDIT
from harness.task.spec import WhereSpec
from harness.task.task import Instance, Task

if TYPE_CHECKING:
    from harness.planning.cost.cost import Cost

SideName = Literal["left", "right", "pair"]


Encoded = frozenset[tuple[str, Site]]
"""SAEs, each with the site whose activations it encodes."""


@dataclass(frozen=True)
class ReductionJob:
    """Finds directions, or the numbers of a statistic.

    Its instances share streams and state and differ in how they finish.
    """

    instances: tuple[Instance, ...]
    reads: Reads

    @property
    def statistic(self) -> bool:
        """Whether it is an entry of `[statistics]`."""
        return self.instances[0].table == "statistics"

    def encoded(self, task: Task) -> Encoded:
        """What it has encoded."""
        return frozenset((sae, task.sae_site(sae)) for sae in self.reads.saes)

    def identity(self, task: Task) -> object:
        """What its state depends on, beside what it reads."""
        return (state_key(self.instances[0]), repr(self.reads))


@dataclass(frozen=True)
class MetricJob:
    """Measures one metric at one place, on one side or on both."""

    entry: str
    target: Target
    side: SideName
    axes: Axes
    reads: Reads
    preflight: bool = False

    @property
    def where_options(self) -> Mapping[str, object]:
        """The filter, as the options of a record."""
        return where_options(self.reads.streams[0].where)

    def encoded(self, task: Task) -> Encoded:
        """What it has encoded."""
        entry = (task.preflight if self.preflight else task.metrics)[self.entry]
        sae = self.target.sae
        return frozenset([(sae, self.target.site)] if sae and entry.options.on_sae else [])

    def identity(self, task: Task) -> object:
        """What its state depends on, beside what it reads."""
        entry = (task.preflight if self.preflight else task.metrics)[self.entry]
        version = entry.owner.plugin.version
        options = sorted(entry.options.model_dump(mode="json").items())
        return (str(entry.owner), version, repr(options), repr(self))


@dataclass(frozen=True)
class FilterJob:
    """Counts how many tokens a filter lets through."""

    where: Where
    site: Site
    axes: Axes
    reads: Reads

    @property
    def where_options(self) -> Mapping[str, object]:
        """The filter, as the options of a record."""
        return where_options(self.where)

    def encoded(self, task: Task) -> Encoded:
        """Nothing."""
        return frozenset()

    def identity(self, task: Task) -> object:
        """What its state depends on."""
        return repr(self)


@dataclass(frozen=True)
class SentinelJob:
    """Checks that the two models of a pair differ, or do not, as the task expects."""

    pair: str
    expect: Literal["different", "same"]
    reads: Reads

    def encoded(self, task: Task) -> Encoded:
        """Nothing."""
        return frozenset()

    def identity(self, task: Task) -> object:
        """What its state depends on."""
        return repr(self)


Job = ReductionJob | MetricJob | FilterJob | SentinelJob


@dataclass(frozen=True)
class Rendering:
    """What streams must have in common to be read together: the same rows of the same tokens."""

    view: str
    """Whose prompts are read."""
    data: str
    right: str | None = None
    """The view that renders its own prompts for the right side, where one does."""
    pack: int | None = None
    budget: int | None = None

    @property
    def views(self) -> tuple[str, ...]:
        """The views that render the data."""
        return (self.view,) if self.right is None else (self.view, self.right)


def rendering(stream: Stream) -> Rendering:
    """The rendering that a stream is read from."""
    own = stream.right if stream.align == "span" else None
    view = stream.right if stream.render == "right" and stream.right else stream.view
    return Rendering(view, stream.data, own, stream.pack, stream.budget)


@dataclass(frozen=True)
class Pass:
    """Jobs that share their forwards. `limit` caps the documents of every stream."""

    jobs: tuple[Job, ...]
    limit: int | None = None

    def renderings(self) -> list[Rendering]:
        """What is rendered and read, each once."""
        return list(dict.fromkeys(rendering(s) for job in self.jobs for s in job.reads.streams))


@dataclass(frozen=True)
class PlannedArm:
    """One arm of an experiment: a direction's name (or `none`) and the axes of its variant."""

    direction: str
    axes: Axes = field(default_factory=dict)

    @property
    def label(self) -> str:
        """`chat_features[k=8]`."""
        inside = ",".join(f"{key}={value}" for key, value in self.axes.items())
        return f"{self.direction}[{inside}]" if inside else self.direction


@dataclass(frozen=True)
class Generation:
    """Completions of one experiment under all its arms."""

    experiment: str
    arms: tuple[PlannedArm, ...]


@dataclass(frozen=True)
class Plan:
    """All steps of a task, in order."""

    task: Task
    preflight: Pass
    passes: tuple[Pass, ...]
    generations: tuple[Generation, ...]

    def cost(self, device: str | None = None) -> Cost:
        """What it will take, on a machine of `harness.devices`; reads no weight.

        Raises DataError for local data that cannot be read, UsageError for an unknown machine.
        """
        from harness.planning.cost.cost import cost

        return cost(self, device)


def plan(task: Task) -> Plan:
    """The steps of a task; reads nothing."""
    directions = _reduction_jobs(task)
    levels = _levels(directions)
    metrics: list[MetricJob | FilterJob] = [*_metric_jobs(task), *_filter_jobs(task)]
    passes: list[Pass] = []
    measured = [
        (max((levels["directions", n] + 1 for n in job.reads.start), default=0), job)
        for job in metrics
    ]
    for level in range(max([*levels.values(), *(at for at, _ in measured), -1]) + 1):
        jobs: list[Job] = [job for job in directions if levels[_entry(job)] == level]
        # Jobs are in finishing order: a direction comes after those it is made from.
        jobs.sort(key=lambda job: _depth(job, directions))
        passes.append(Pass((*jobs, *(job for at, job in measured if at == level))))
    limit = task.spec.preflight.limit if task.spec.preflight else 64
    preflight = Pass((*_preflight_jobs(task), *_sentinel_jobs(task)), limit)
    return Plan(task, preflight, tuple(passes), tuple(_generations(task)))


def state_key(instance: Instance) -> tuple[object, ...]:
    """What the state of a direction finder depends on; a sweep over the rest shares it."""
    kept = set(type(instance.options).model_fields) - instance.options.finish_only
    values = instance.options.model_dump(mode="json", include=kept)
    owner = f"{instance.owner} {instance.owner.plugin.version}"
    return (instance.table, instance.entry, owner, repr(sorted(values.items())))


def _entry(job: ReductionJob) -> tuple[str, str]:
    return (job.instances[0].table, job.instances[0].entry)


def resolved_reads(task: Task, reads: Reads) -> Reads:
    """The same with every fraction of depth made a block."""
    views = [stream.view for stream in reads.streams]
    layers = task.layers(task.spec.views[views[0]].model) if views else None
    sites = tuple(site.at(layers) if layers else site for site in reads.sites)
    # A filter without a site of its own looks where the reduction does; for logits at the end.
    end = [_END.at(layers) if layers else _END] if reads.logits else []
    looks = next(iter([*sites, *(task.sae_site(sae) for sae in reads.saes), *end]), None)
    streams = tuple(
        replace(s, where=replace(s.where, site=s.where.site or looks)) if _looks(s.where) else s
        for s in reads.streams
    )
    first = tuple(dict.fromkeys([*reads.start, *_edited(task, streams)]))
    return replace(reads, sites=sites, streams=streams, start=first)


def _edited(task: Task, streams: Sequence[Stream]) -> tuple[str, ...]:
    """The directions that the views of some streams are edited with: they must come first."""
    views = [view for s in streams for view in (s.view, s.right) if view is not None]
    return tuple(dict.fromkeys(name for view in views for name in task.edited_by(view)))


def _looks(where: Where) -> bool:
    return where.selects or where.max_norm_ratio is not None


def where_options(where: Where) -> dict[str, object]:
    """A filter as the options of a record: what it asks, without where it looks."""
    return {
        name: value
        for name, value in vars(where).items()
        if name != "site" and value != getattr(Where(), name)
    }


def _reduction_jobs(task: Task) -> list[ReductionJob]:
    groups: dict[tuple[object, ...], list[Instance]] = {}
    for instances in [*task.directions.values(), *task.statistics.values()]:
        for instance in instances:
            # What a state starts from is a variant of its own sweep.
            start = instance.axes if instance.options.reads(task).start else {}
            key = (*state_key(instance), repr(sorted(start.items())))
            groups.setdefault(key, []).append(instance)
    return [
        ReductionJob(tuple(group), resolved_reads(task, _merged(task, group)))
        for group in groups.values()
    ]


def _merged(task: Task, instances: list[Instance]) -> Reads:
    reads = [instance.options.reads(task) for instance in instances]
    every = {
        name: tuple(dict.fromkeys(n for r in reads for n in getattr(r, name)))
        for name in ("streams", "sites", "saes", "start", "finish")
    }
    return Reads(**every, logits=any(one.logits for one in reads))


def _levels(jobs: list[ReductionJob]) -> dict[tuple[str, str], int]:
    """The pass in which each direction is found; circles were refused when the task was read."""
    levels = {_entry(job): 0 for job in jobs}
    changed = True
    while changed:
        changed = False
        for job in jobs:
            name = _entry(job)
            level = max(
                [
                    levels[name],
                    *(levels["directions", n] + 1 for n in job.reads.start),
                    *(levels["directions", n] for n in job.reads.finish),
                ]
            )
            changed |= level != levels[name]
            levels[name] = level
    return levels


def _depth(job: Job, jobs: list[ReductionJob]) -> int:
    by_name = {j.instances[0].entry: j for j in jobs if not j.statistic}
    needs = [by_name[name] for name in job.reads.finish if name in by_name]
    return 1 + max((_depth(other, jobs) for other in needs if other is not job), default=0)


def _metric_jobs(task: Task) -> Iterator[MetricJob]:
    for name, entry in task.metrics.items():
        spec = task.spec.metrics[name]
        if spec.pair is not None:
            pair = task.spec.pairs[spec.pair]
            stream = task.pair(spec.pair)
            saes, sites = pair.saes, pair.sites
        else:
            assert spec.view is not None
            assert spec.data is not None
            stream = Stream("view", spec.view, spec.data)
            saes, sites = (), ()
        axes: Axes = {"view": spec.view}
        if spec.pair is not None:
            axes = {**task.spec.pairs[spec.pair].axes, "pair": spec.pair}
        saes = saes if spec.saes is None else spec.saes
        sites = sites if spec.sites is None else spec.sites
        targets = [Target(task.sae_site(sae), sae, task.sae_out(sae)) for sae in saes]
        if entry.options.on_logits:
            targets = [Target(task.at(_END, task.spec.views[stream.view].model))]
        elif not entry.options.on_sae:
            model = task.spec.views[stream.view].model
            bare = [task.at(parse_site(site), model) for site in sites]
            targets += [Target(site) for site in bare if site not in {t.site for t in targets}]
        sides: list[SideName] = ["left"] if stream.right is None else ["left", "right"]
        if entry.options.paired:
            sides = ["pair"]
        for target in targets:
            for side in sides:
                view = {"left": stream.view, "right": stream.right}.get(side)
                more = {"view": view} if view and spec.pair else {}
                # Logits are read at no site.
                here = () if entry.options.on_logits else (target.site, *_out(target))
                there = {} if entry.options.on_logits else _at(target)
                reads = Reads(
                    (_looking(stream, spec.where, target.site),),
                    here,
                    (target.sae,) if target.sae else (),
                    entry.options.on_logits,
                    _edited(task, [stream]),
                )
                at: Axes = {**axes, **more, "data": stream.data, **there}
                yield MetricJob(name, target, side, at, reads)


_END = Site("resid_post", fraction=1.0)


def _out(target: Target) -> tuple[Site, ...]:
    return (target.out,) if target.out is not None else ()


def _looking(stream: Stream, where: WhereSpec, site: Site) -> Stream:
    """The stream with a metric's filter, which looks at the metric's site."""
    both = replace(stream.where, **where.model_dump())
    return replace(stream, where=replace(both, site=site) if _looks(both) else both)


def _filter_jobs(task: Task) -> Iterator[FilterJob]:
    """A count for each filter of each pair at each site, whatever number of metrics uses it."""
    seen: set[tuple[str, Where]] = set()
    for job in _metric_jobs(task):
        pair, stream = task.spec.metrics[job.entry].pair, job.reads.streams[0]
        where = stream.where
        # A count of what `skip_first` alone leaves out would say nothing but how long texts are.
        if pair is None or where.site is None or (pair, where) in seen:
            continue
        seen.add((pair, where))
        axes = {**task.spec.pairs[pair].axes, "pair": pair, "data": stream.data}
        axes["site"] = str(where.site)
        bare = replace(stream, where=Where())
        reads = Reads((bare,), (where.site,), start=_edited(task, [bare]))
        yield FilterJob(where, where.site, axes, reads)


def _at(target: Target) -> Mapping[str, str]:
    sae = {"sae": target.sae} if target.sae else {}
    return {"site": str(target.site), **sae}


def preflight_view(model: str) -> str:
    """The name of the view in which a model's SAEs are checked: its plain text."""
    return f"@{model}"


def _preflight_jobs(task: Task) -> Iterator[MetricJob]:
    preflight = task.spec.preflight
    if preflight is None:
        return
    for name, spec in task.spec.saes.items():
        stream = Stream("text", preflight_view(spec.model), preflight.data)
        site = task.sae_site(name)
        for other in (site, *neighbours(site, task.layers(spec.model))):
            for metric in (preflight.fvu, *preflight.also):
                out = task.sae_out(name)
                moved = None if out is None else _moved(out, site, other)
                target = Target(other, name, moved)
                axes = {"model": spec.model, "data": preflight.data, **_at(target)}
                reads = Reads((stream,), (other, *_out(target)), (name,))
                yield MetricJob(metric, target, "left", axes, reads, preflight=True)


def neighbours(site: Site, layers: int | None) -> tuple[Site, ...]:
    """The same kind of site one block below and above."""
    if site.layer is None:
        return ()
    around = (site.layer - 1, site.layer + 1)
    return tuple(Site(site.kind, n) for n in around if n >= 0 and (layers is None or n < layers))


def _moved(out: Site, site: Site, other: Site) -> Site:
    """A transcoder's output, as many blocks away as its input was moved."""
    if None in (out.layer, site.layer, other.layer):
        return out
    assert out.layer is not None
    assert site.layer is not None
    assert other.layer is not None
    return Site(out.kind, out.layer + other.layer - site.layer)


def _sentinel_jobs(task: Task) -> Iterator[SentinelJob]:
    for name, pair in task.spec.pairs.items():
        if pair.expect is None:
            continue
        model = task.spec.views[pair.left].model
        sites = {task.sae_site(sae) for sae in pair.saes}
        sites |= {task.at(parse_site(site), model) for site in pair.sites}
        # Without a site of its own, a pair is compared where everything has come together.
        sites = sites or {task.at(Site("resid_post", fraction=1.0), model)}
        stream = replace(task.pair(name), where=Where(), budget=None)
        yield SentinelJob(name, pair.expect, Reads((stream,), tuple(sorted(sites))))


def _generations(task: Task) -> Iterator[Generation]:
    for name, experiment in task.spec.experiments.items():
        arms = [PlannedArm(NO_EDIT)]
        for direction in experiment.directions:
            for instance in task.directions[direction]:
                arms += [PlannedArm(direction, axes) for axes in instance.variants()]
        yield Generation(name, tuple(arms))
