"""A plan as rows: what is done, step by step, where, and on which text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from harness.planning.steps import (
    FilterJob,
    MetricJob,
    ReductionJob,
    SentinelJob,
    ThresholdJob,
)

if TYPE_CHECKING:
    from harness.contract import Reads
    from harness.planning.steps import (
        Generation,
        Job,
        Pass,
    )
    from harness.task.task import Task

Row = dict[str, Any]
COLUMNS = ("step", "what", "name", "views", "data", "sites", "saes", "count")
"""The columns of the table: the step; what is done there; the entry of the task that asks for it;
views, data, sites and SAEs that it reads; and how many jobs, arms or directions these are."""


def rows(
    task: Task, preflight: Pass, passes: Sequence[Pass], generations: Sequence[Generation]
) -> list[Row]:
    """A row for each entry of the task in each step, in the order in which they run."""
    found = [*_pass(task, "preflight", preflight)]
    for number, work in enumerate(passes, 1):
        found += _pass(task, f"pass {number}", work)
    for generation in generations:
        spec = task.spec.experiments[generation.experiment]
        found.append(
            _row(
                "completions" if spec.data is not None else "benchmarks",
                "experiment",
                generation.experiment,
                views=[spec.view],
                data=[spec.data] if spec.data else (),
                count=len(generation.arms),
            )
        )
    found += [_row("afterwards", "labels", name) for name in task.labels]
    found += [
        _row("afterwards", "analysis", name, count=len(many))
        for name, many in task.analyses.items()
    ]
    return found


def summary(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The steps, with what each does in one line."""
    by_step: dict[str, list[str]] = {}
    for row in rows:
        many = f" ×{row['count']}" if row["count"] > 1 else ""
        by_step.setdefault(row["step"], []).append(f"{row['name']}{many}")
    return [(step, ", ".join(dict.fromkeys(names))) for step, names in by_step.items()]


def _pass(task: Task, step: str, work: Pass) -> Iterator[Row]:
    grouped: dict[tuple[str, str], list[Job]] = {}
    for job in work.jobs:
        grouped.setdefault(_entry(job), []).append(job)
    for (what, name), jobs in grouped.items():
        reads = [job.reads for job in jobs]
        views = [v for one in reads for s in one.streams for v in (s.view, s.right) if v]
        yield _row(
            step,
            what,
            name,
            views=views,
            data=[stream.data for one in reads for stream in one.streams],
            sites=[str(site) for one in reads for site in one.sites],
            saes=[
                sae for job, one in zip(jobs, reads, strict=True) for sae in _saes(task, job, one)
            ],
            count=sum(len(job.instances) if isinstance(job, ReductionJob) else 1 for job in jobs),
        )


def _entry(job: Job) -> tuple[str, str]:
    """What a job is, and the entry of the task that asks for it."""
    match job:
        case ReductionJob():
            return ("statistic" if job.statistic else "direction", job.entry[1])
        case MetricJob():
            return ("metric", job.entry)
        case FilterJob():
            return ("share of tokens", str(job.axes.get("pair", "filter")))
        case ThresholdJob():
            return ("threshold", str(job.axes.get("pair", "filter")))
        case SentinelJob():
            return ("difference of models", job.pair)


def _saes(task: Task, job: Job, reads: Reads) -> Iterator[str]:
    yield from reads.saes
    yield from (sae for sae, _ in sorted(job.encoded(task)))


def _row(
    step: str,
    what: str,
    name: str,
    *,
    views: Iterable[str] = (),
    data: Iterable[str] = (),
    sites: Iterable[str] = (),
    saes: Iterable[str] = (),
    count: int = 1,
) -> Row:
    lists = (", ".join(dict.fromkeys(many)) for many in (views, data, sites, saes))
    return dict(zip(COLUMNS, (step, what, name, *lists, count), strict=True))
