"""Runs a pass: every rendering once, every model once per batch, every job on what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.activations import Reader
from harness.contract import Inputs, Outcome, Reduction, Site, State, Stream, Tokens
from harness.metric_reduction import MetricReduction
from harness.planner import DirectionJob, Job, MetricJob, Pass, SentinelJob
from harness.preflight import Difference
from harness.session import Session

Tick = Callable[[int], None]


@dataclass
class _Running:
    """A job on its way through a pass."""

    job: Job
    reduction: Reduction
    state: State


def run_pass(
    session: Session, work: Pass, finished: Callable[[Job, Sequence[Outcome]], None], tick: Tick
) -> None:
    """Reads what the jobs need and hands each job's outcomes to `finished`, in order.

    A direction job has one outcome per instance; other jobs have one. `tick` counts prompts.
    """
    running = [_start(session, job) for job in work.jobs]
    for view, data in work.renderings():
        _read(session, running, view, data, work.limit, tick)
    for one in running:
        finished(one.job, _finish(session, one))


def _start(session: Session, job: Job) -> _Running:
    reduction = _reduction(session, job)
    axes = job.instances[0].axes if isinstance(job, DirectionJob) else {}
    return _Running(job, reduction, reduction.start(_inputs(session, job, axes)))


def _reduction(session: Session, job: Job) -> Reduction:
    match job:
        case DirectionJob():
            built: Reduction = job.instances[0].build()
            return built
        case MetricJob():
            entries = session.task.preflight if job.preflight else session.task.metrics
            entry = entries[job.entry]
            metric = entry.owner.load()(entry.options, job.target)
            options = entry.options.model_dump(mode="json")
            return MetricReduction(metric, job.side, options)
        case SentinelJob():
            return Difference(job.reads.sites)


def _inputs(session: Session, job: Job, axes: Mapping[str, object]) -> Inputs:
    names = (*job.reads.start, *job.reads.finish)
    directions = {name: session.direction(name, axes) for name in names if session.has(name)}
    saes = {name: session.sae(name) for name in job.reads.saes}
    views = {view for s in job.reads.streams for view in (s.view, s.right) if view is not None}
    facts = {view: session.view_model(view).facts for view in sorted(views)}
    sites = {name: session.task.sae_site(name) for name in saes}
    return Inputs(directions, saes, sites, facts, session.task.spec.seed)


def _finish(session: Session, one: _Running) -> list[Outcome]:
    if not isinstance(one.job, DirectionJob):
        return [one.reduction.finish(one.state, _inputs(session, one.job, {}))]
    outcomes = []
    for instance in one.job.instances:
        reduction: Reduction = instance.build()
        outcome = reduction.finish(one.state, _inputs(session, one.job, instance.axes))
        session.keep(instance, outcome)
        outcomes.append(outcome)
    return outcomes


def _read(
    session: Session,
    running: Sequence[_Running],
    view: str,
    data: str,
    limit: int | None,
    tick: Tick,
) -> None:
    """One rendering: its streams, all of whose models read the same tokens."""
    wanted = [
        (one, stream)
        for one in running
        for stream in one.job.reads.streams
        if (stream.view, stream.data) == (view, data)
    ]
    reader = _reader(session, wanted)
    names = {_kind(stream): stream for _, stream in wanted}
    tokens = session.rendered(view, data)[:limit]
    # Prompts of like length share a batch: less padding, and no number depends on it.
    tokens = sorted(tokens, key=lambda prompt: len(prompt.ids))
    for batch_tokens in _batches(tokens, session.task.spec.batch.activations):
        batches = dict(zip(names, reader.read(batch_tokens), strict=True))
        for one, stream in wanted:
            batch = replace(batches[_kind(stream)], stream=stream.name)
            one.state = one.reduction.update(one.state, batch)
        tick(len(batch_tokens))


def _reader(session: Session, wanted: Sequence[tuple[_Running, Stream]]) -> Reader:
    streams = {_kind(stream): stream for _, stream in wanted}
    views = dict.fromkeys(v for s in streams.values() for v in (s.view, s.right) if v is not None)
    sites = {view: dict[Site, None]() for view in views}
    saes = dict.fromkeys(sae for one, _ in wanted for sae in one.job.reads.saes)
    for one, stream in wanted:
        for side in (stream.view, stream.right):
            if side is not None:
                needs = [*one.job.reads.sites, *map(session.task.sae_site, one.job.reads.saes)]
                sites[side].update(dict.fromkeys(needs))
    return Reader(
        tuple(streams.values()),
        {view: session.view_model(view) for view in views},
        {view: tuple(found) for view, found in sites.items()},
        {sae: session.sae(sae) for sae in saes},
        {sae: session.task.sae_site(sae) for sae in saes},
    )


def _kind(stream: Stream) -> tuple[str, str, str | None, str]:
    """Streams that differ in their name alone are the same batches."""
    return (stream.view, stream.data, stream.right, stream.tokens)


def _batches(tokens: Sequence[Tokens], size: int) -> list[Sequence[Tokens]]:
    return [tokens[i : i + size] for i in range(0, len(tokens), size)]
