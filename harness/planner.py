"""What a task will do, as a list of passes: everything it asks for in the fewest forwards.

A pass reads activations once for all jobs of its level. A job that needs a direction to start
comes a level after it; one that needs it only to finish shares its pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from harness.contract import Axes, Reads, Site, Stream, Target
from harness.fit import NO_EDIT
from harness.sites import parse_site
from harness.task import Instance, Task

if TYPE_CHECKING:
    from harness.cost import Cost

SideName = Literal["left", "right", "pair"]


@dataclass(frozen=True)
class DirectionJob:
    """Finds directions. Its instances share streams and state and differ in how they finish."""

    instances: tuple[Instance, ...]
    reads: Reads


@dataclass(frozen=True)
class MetricJob:
    """Measures one metric at one place, on one side or on both."""

    entry: str
    target: Target
    side: SideName
    axes: Axes
    reads: Reads
    preflight: bool = False


@dataclass(frozen=True)
class SentinelJob:
    """Checks that the two models of a pair differ, or do not, as the task expects."""

    pair: str
    expect: Literal["different", "same"]
    reads: Reads


Job = DirectionJob | MetricJob | SentinelJob


@dataclass(frozen=True)
class Pass:
    """Jobs that share their forwards. `limit` caps the documents of every stream."""

    jobs: tuple[Job, ...]
    limit: int | None = None

    def renderings(self) -> list[tuple[str, str]]:
        """The (view, data) whose prompts are rendered and read, each once."""
        return list(dict.fromkeys((s.view, s.data) for j in self.jobs for s in j.reads.streams))


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
        from harness.cost import cost

        return cost(self, device)


def plan(task: Task) -> Plan:
    """The steps of a task; reads nothing."""
    directions = _direction_jobs(task)
    levels = _levels(directions)
    metrics = list(_metric_jobs(task))
    passes: list[Pass] = []
    for level in range(max([*levels.values(), 0 if metrics else -1]) + 1):
        jobs: list[Job] = [job for job in directions if levels[job.instances[0].entry] == level]
        # Jobs are in finishing order: a direction comes after those it is made from.
        jobs.sort(key=lambda job: _depth(job, directions))
        passes.append(Pass((*jobs, *(metrics if level == 0 else ()))))
    limit = task.spec.preflight.limit if task.spec.preflight else 64
    preflight = Pass((*_preflight_jobs(task), *_sentinel_jobs(task)), limit)
    return Plan(task, preflight, tuple(passes), tuple(_generations(task)))


def state_key(instance: Instance) -> tuple[object, ...]:
    """What the state of a direction finder depends on; a sweep over the rest shares it."""
    kept = set(type(instance.options).model_fields) - instance.options.finish_only
    values = instance.options.model_dump(mode="json", include=kept)
    return (instance.entry, str(instance.owner), repr(sorted(values.items())))


def resolved_reads(task: Task, reads: Reads) -> Reads:
    """The same with every fraction of depth made a block."""
    views = [stream.view for stream in reads.streams]
    layers = task.layers(task.spec.views[views[0]].model) if views else None
    sites = tuple(site.at(layers) if layers else site for site in reads.sites)
    return replace(reads, sites=sites)


def _direction_jobs(task: Task) -> list[DirectionJob]:
    groups: dict[tuple[object, ...], list[Instance]] = {}
    for instances in task.directions.values():
        for instance in instances:
            # What a state starts from is a variant of its own sweep.
            start = instance.axes if instance.options.reads(task).start else {}
            key = (*state_key(instance), repr(sorted(start.items())))
            groups.setdefault(key, []).append(instance)
    return [
        DirectionJob(tuple(group), resolved_reads(task, _merged(task, group)))
        for group in groups.values()
    ]


def _merged(task: Task, instances: list[Instance]) -> Reads:
    reads = [instance.options.reads(task) for instance in instances]
    every = {
        name: tuple(dict.fromkeys(n for r in reads for n in getattr(r, name)))
        for name in ("streams", "sites", "saes", "start", "finish")
    }
    return Reads(**every)


def _levels(jobs: list[DirectionJob]) -> dict[str, int]:
    """The pass in which each direction is found; circles were refused when the task was read."""
    levels = {job.instances[0].entry: 0 for job in jobs}
    changed = True
    while changed:
        changed = False
        for job in jobs:
            name = job.instances[0].entry
            level = max(
                [
                    levels[name],
                    *(levels[n] + 1 for n in job.reads.start),
                    *(levels[n] for n in job.reads.finish),
                ]
            )
            changed |= level != levels[name]
            levels[name] = level
    return levels


def _depth(job: Job, jobs: list[DirectionJob]) -> int:
    by_name: dict[str, DirectionJob] = {j.instances[0].entry: j for j in jobs}
    needs = [by_name[name] for name in job.reads.finish if name in by_name]
    return 1 + max((_depth(other, jobs) for other in needs if other is not job), default=0)


def _metric_jobs(task: Task) -> Iterator[MetricJob]:
    for name, entry in task.metrics.items():
        spec = task.spec.metrics[name]
        if spec.pair is not None:
            pair = task.spec.pairs[spec.pair]
            stream = Stream("pair", pair.left, pair.data, pair.right)
            saes, sites = pair.saes, pair.sites
        else:
            assert spec.view is not None
            assert spec.data is not None
            stream = Stream("view", spec.view, spec.data)
            saes, sites = (), ()
        axes = {"pair": spec.pair} if spec.pair else {"view": spec.view}
        saes = saes if spec.saes is None else spec.saes
        sites = sites if spec.sites is None else spec.sites
        targets = [Target(task.sae_site(sae), sae) for sae in saes]
        if not entry.options.on_sae:
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
                reads = Reads((stream,), (target.site,), (target.sae,) if target.sae else ())
                at: Axes = {**axes, **more, "data": stream.data, **_at(target)}
                yield MetricJob(name, target, side, at, reads)


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
                target = Target(other, name)
                axes = {"model": spec.model, "data": preflight.data, **_at(target)}
                reads = Reads((stream,), (other,), (name,))
                yield MetricJob(metric, target, "left", axes, reads, preflight=True)


def neighbours(site: Site, layers: int | None) -> tuple[Site, ...]:
    """The same kind of site one block below and above."""
    if site.layer is None:
        return ()
    around = (site.layer - 1, site.layer + 1)
    return tuple(Site(site.kind, n) for n in around if n >= 0 and (layers is None or n < layers))


def _sentinel_jobs(task: Task) -> Iterator[SentinelJob]:
    for name, pair in task.spec.pairs.items():
        if pair.expect is None:
            continue
        model = task.spec.views[pair.left].model
        sites = {task.sae_site(sae) for sae in pair.saes}
        sites |= {task.at(parse_site(site), model) for site in pair.sites}
        # Without a site of its own, a pair is compared where everything has come together.
        sites = sites or {task.at(Site("resid_post", fraction=1.0), model)}
        stream = Stream("pair", pair.left, pair.data, pair.right)
        yield SentinelJob(name, pair.expect, Reads((stream,), tuple(sorted(sites))))


def _generations(task: Task) -> Iterator[Generation]:
    for name, experiment in task.spec.experiments.items():
        arms = [PlannedArm(NO_EDIT)]
        for direction in experiment.directions:
            for instance in task.directions[direction]:
                arms += [PlannedArm(direction, axes) for axes in instance.variants()]
        yield Generation(name, tuple(arms))
