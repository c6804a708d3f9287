"""The jobs of a pass: how each is started, what it has counted so far, and what comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from harness.contract import Batch, Inputs, Outcome, Reduction, State, Stream
from harness.errors import TaskError
from harness.planning.steps import (
    FilterJob,
    Job,
    MetricJob,
    ReductionJob,
    SentinelJob,
    ThresholdJob,
    settled,
)
from harness.planning.words import not_one_token
from harness.running.passes.difference import RelativeDifference
from harness.running.passes.metric import MetricReduction
from harness.running.passes.shards import EVERYTHING
from harness.running.reading.filters import FilteredShare
from harness.running.reading.quantile import CosineThreshold
from harness.running.session import Session

DOMAIN = "domain"
"""The axis of a category of the data."""


@dataclass(frozen=True)
class Finished:
    """What a job found: `domain` is a category of its data, None for all of them together.

    A reduction job has one outcome for each of its instances; other jobs have one.
    """

    outcomes: Sequence[Outcome]
    domain: str | None = None


@dataclass(eq=False)
class RunningJob:
    """A job on its way through a pass, with a state for each category of its data."""

    job: Job
    reduction: Reduction
    inputs: Inputs
    states: dict[str, State] = field(default_factory=dict)

    def update(self, category: str, batch: Batch) -> None:
        """Adds a batch to the state of its category."""
        state = self.states.get(category)
        if state is None:
            state = self.reduction.start(self.inputs)
        self.states[category] = self.reduction.update(state, batch)

    def total(self) -> State:
        """The state of all categories together; that of no documents where none was read."""
        states = self.states or {EVERYTHING: self.reduction.start(self.inputs)}
        return reduce(self.reduction.merge, [states[name] for name in sorted(states)])


def start(session: Session, job: Job) -> RunningJob:
    """A job before its first batch. The directions and the thresholds of filters that it starts
    from must have been found."""
    job = settled(job, session.thresholds)
    axes = job.instances[0].axes if isinstance(job, ReductionJob) else {}
    inputs = _inputs(session, job, axes, job.reads.start)
    return RunningJob(job, _reduction(session, job), inputs)


def finish(session: Session, one: RunningJob) -> Iterator[Finished]:
    """What a job has found: for each category where it has any, and at last for everything.

    A sentinel, a threshold and a direction finder are finished for everything alone. Directions,
    arrays and thresholds are kept in the session.
    """
    # Of several streams one may have categories and another none: the latter counts only in total.
    categories = sorted(one.states.keys() - {EVERYTHING})
    job = one.job
    if isinstance(job, SentinelJob | ThresholdJob) or (
        isinstance(job, ReductionJob) and not job.statistic
    ):
        categories = []
    for domain in (*categories, None):
        state = one.total() if domain is None else one.states[domain]
        if isinstance(job, ReductionJob):
            yield Finished(_finish_instances(session, job, state, domain), domain)
        else:
            if isinstance(job, ThresholdJob):
                assert isinstance(one.reduction, CosineThreshold)
                session.thresholds[job.settles] = one.reduction.threshold(state)
            yield Finished([one.reduction.finish(state, one.inputs)], domain)


def stream_views(stream: Stream) -> tuple[str, ...]:
    """The views of a stream: left, and right where it is a pair."""
    return (stream.view,) if stream.right is None else (stream.view, stream.right)


def _reduction(session: Session, job: Job) -> Reduction:
    match job:
        case ReductionJob():
            built: Reduction = job.instances[0].build()
            return built
        case MetricJob():
            entries = session.task.preflight if job.preflight else session.task.metrics
            entry = entries[job.entry]
            metric = entry.owner.load()(entry.options, job.target)
            options = entry.options.model_dump(mode="json")
            return MetricReduction(metric, job.side, {**options, **job.where_options})
        case FilterJob():
            paired = job.reads.streams[0].right is not None
            shares = FilteredShare(job.where, job.site, paired)
            return MetricReduction(shares, "pair" if paired else "left", job.where_options)
        case ThresholdJob():
            return CosineThreshold(job.share, job.site)
        case SentinelJob():
            return RelativeDifference(job.reads.sites)


def _inputs(session: Session, job: Job, axes: Mapping[str, object], names: Sequence[str]) -> Inputs:
    found = session.directions
    directions = {name: found.direction(name, axes) for name in names if name in found}
    saes = {name: session.sae(name) for name in job.reads.saes}
    views = {view for stream in job.reads.streams for view in stream_views(stream)}
    models = {view: session.view_model(view) for view in sorted(views)}
    facts = {view: model.facts for view, model in models.items()}
    dtypes = {view: model.dtype for view, model in models.items()}
    sites = {name: session.task.sae_site(name) for name in saes}
    streams = job.reads.streams
    edits = {one.edit: session.direction_of(one.edit) for one in streams if one.edit is not None}
    words = {word: _token(session, job, word) for word in job.reads.words}
    seed = session.task.spec.seed
    return Inputs(directions, saes, sites, facts, seed, dtypes, edits, words)


def _token(session: Session, job: Job, word: str) -> int:
    """The token of a job's model that a word is. Raises TaskError where it is not one."""
    ids = session.view_model(job.reads.streams[0].view).encode(word, special=False)
    if len(ids) != 1:
        assert isinstance(job, ReductionJob)
        raise TaskError([session.task.source.problem(job.entry, not_one_token(word, len(ids)))])
    return ids[0]


def _finish_instances(
    session: Session, job: ReductionJob, state: State, domain: str | None
) -> list[Outcome]:
    """The outcomes of all instances of a job, which share its state and differ in their finish."""
    names = (*job.reads.start, *job.reads.finish)
    outcomes: list[Outcome] = [
        instance.build().finish(state, _inputs(session, job, instance.axes, names))
        for instance in job.instances
    ]
    streams = job.reads.streams
    layers = session.view_model(streams[0].view).facts.layers if streams else None
    for instance, outcome in zip(job.instances, outcomes, strict=True):
        if domain is None:
            session.directions.keep(instance, outcome, layers)
        else:
            session.directions.keep_arrays(instance, outcome, {**instance.axes, DOMAIN: domain})
    return outcomes
