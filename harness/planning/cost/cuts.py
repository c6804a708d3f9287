"""Into how many parts work is cut, and how large their replies are: from the plan alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.contract import Site
from harness.planning.steps import Job, MetricJob, ReductionJob
from harness.task.task import Task

GROUPS = 256
"""Groups of documents, each of which has its own sums of a metric; and one more, of all."""
NUMBER = 8
"""Bytes of a number that travels: float64, int64, the id of a token."""


def shards(lengths: Iterable[int], most: int) -> int:
    """How many shards documents of these tokens make: each ends with the one that reaches `most`.

    As `harness.running.passes.shards` cuts them, which reads them in the order of the data.
    """
    count, tokens = 0, 0
    for length in lengths:
        count += not tokens
        tokens += length
        if tokens >= most:
            tokens = 0
    return count


def ranges(rows: int, size: int) -> list[tuple[int, int]]:
    """Where batches of `size` rows start and end."""
    return [(start, min(rows, start + size)) for start in range(0, rows, size)]


def reply_bytes(task: Task, jobs: Sequence[Job], width: int) -> int:
    """Bytes of the states of all jobs of a rendering, which a shard gives back: about, as their
    options tell. `width` is that of the residual stream."""
    return NUMBER * sum(_numbers(task, job, width) for job in jobs)


def _numbers(task: Task, job: Job, width: int) -> int:
    if isinstance(job, MetricJob):
        entry = (task.preflight if job.preflight else task.metrics)[job.entry]
        sae = job.target.sae
        facts = task.sae_facts(sae) if sae is not None else None
        own = (facts.d_in or width, facts.d_sae or 0) if facts else (width, 0)
        return (GROUPS + 1) * entry.options.keeps(*own)
    if not isinstance(job, ReductionJob):
        return (GROUPS + 1) * 4
    options = job.instances[0].options
    sites: set[Site] = set(job.reads.sites)
    found = 0
    for sae in job.reads.saes:
        sites -= set(task.sae_sites(sae))
        found += options.keeps(0, task.sae_facts(sae).d_sae or 0)
    return len(job.reads.streams) * (found + len(sites) * options.keeps(width, 0))
