"""Plans a task: everything that it asks for, in the fewest passes over activations.

A pass reads activations once for all of its jobs. A job that needs a direction when it starts
comes in a later pass than the direction; one that needs it only when it finishes shares its pass.
One that counts the tokens with the lowest cosines comes after the pass that finds how low they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from harness.planning.measurements import filter_jobs, metric_jobs, threshold_jobs
from harness.planning.plan import Plan
from harness.planning.preflight import sae_jobs, sentinel_jobs, sink_jobs
from harness.planning.reads import placed_reads
from harness.planning.steps import (
    Generation,
    Pass,
    PlannedArm,
    ReductionJob,
    awaited,
    state_key,
)
from harness.task.task import NO_EDIT

if TYPE_CHECKING:
    from harness.planning.steps import (
        FilterJob,
        Job,
        MetricJob,
        ThresholdJob,
    )
    from harness.task.task import Instance, Task

DOCUMENTS = 64
"""Documents of each stream that the preflight reads, where the task has no `[preflight]`."""


def plan(task: Task) -> Plan:
    """Plans a task: preflight, passes over activations, completions. Reads no file."""
    limit = task.spec.preflight.limit if task.spec.preflight else DOCUMENTS
    preflight = Pass((*sae_jobs(task), *sink_jobs(task), *sentinel_jobs(task)), limit)
    metrics = list(metric_jobs(task))
    reductions = _reduction_jobs(task)
    thresholds = threshold_jobs(task, [*reductions, *metrics])
    passes = _passes(reductions, [*thresholds, *metrics, *filter_jobs(task, metrics)])
    return Plan(task, preflight, tuple(passes), tuple(_generations(task)))


def _reduction_jobs(task: Task) -> list[ReductionJob]:
    """A job for all instances that share a state."""
    groups: dict[tuple[object, ...], list[Instance]] = {}
    for instance in task.instances:
        # What a state starts from is a variant of its own sweep.
        start = instance.axes if instance.options.reads(task).start else {}
        key = (*state_key(instance), repr(sorted(start.items())))
        groups.setdefault(key, []).append(instance)
    return [ReductionJob(tuple(group), placed_reads(task, group)) for group in groups.values()]


def _passes(
    reductions: Sequence[ReductionJob],
    measurements: Sequence[ThresholdJob | MetricJob | FilterJob],
) -> Iterator[Pass]:
    """The jobs by pass; reductions first, each after those that it needs when it finishes."""
    levels = _levels(reductions)
    measured = [
        (_first_pass(job.reads.start, levels) + bool(awaited(job)), job) for job in measurements
    ]
    # Jobs are in finishing order: a direction comes after those it is made from.
    ordered = sorted(reductions, key=lambda job: _depth(job, reductions))
    for level in range(max([*levels.values(), *(at for at, _ in measured), -1]) + 1):
        jobs: list[Job] = [job for job in ordered if levels[job.entry] == level]
        yield Pass((*jobs, *(job for at, job in measured if at == level)))


def _levels(jobs: Sequence[ReductionJob]) -> dict[tuple[str, str], int]:
    """The pass in which each direction is found; circles were refused when the task was read."""

    @cache
    def level(entry: tuple[str, str]) -> int:
        mine = [job for job in jobs if job.entry == entry]
        reads = [job.reads for job in mine]
        before = [level(("directions", name)) + 1 for one in reads for name in one.start]
        together = [level(("directions", name)) for one in reads for name in one.finish]
        first = max(before, default=0) + any(awaited(job) for job in mine)
        return max([first, *together])

    return {job.entry: level(job.entry) for job in jobs}


def _first_pass(start: Iterable[str], levels: dict[tuple[str, str], int]) -> int:
    """The first pass that can start with these directions."""
    return max((levels["directions", name] + 1 for name in start), default=0)


def _depth(job: ReductionJob, jobs: Sequence[ReductionJob]) -> int:
    """How long the chain of directions is that must finish before a job can."""
    by_name = {j.instances[0].entry: j for j in jobs if not j.statistic}
    needs = [by_name[name] for name in job.reads.finish if name in by_name]
    return 1 + max((_depth(other, jobs) for other in needs if other is not job), default=0)


def _generations(task: Task) -> Iterator[Generation]:
    for name, experiment in task.spec.experiments.items():
        arms = [PlannedArm(NO_EDIT)]
        for direction in experiment.directions:
            for instance in task.directions[direction]:
                arms += [PlannedArm(direction, axes) for axes in instance.variants(task)]
        yield Generation(name, tuple(arms))
