"""What a job's states depend on, without any name of the task: their key in the cache.

Two tasks that read the same pair under other names share its pass. What a name stands for is in its
place: of views, models and SAEs a hash of what they are, of directions a hash of their vectors, of
data the place of their stream (a hash of what was read is the other part of the key).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.contract import (
    Direction,
    Options,
    Reads,
    Ref,
    State,
    Stream,
    Target,
    Undefined,
    Where,
)
from harness.contract.described import fields_of
from harness.planning.steps import (
    FilterJob,
    Job,
    MetricJob,
    ReductionJob,
    SentinelJob,
    ThresholdJob,
    rendering,
)
from harness.running.contents import Contents
from harness.running.directions import direction_hash
from harness.running.passes.jobs import RunningJob, stream_views
from harness.running.session import Session
from harness.store.keys import key_of
from harness.task.contents import by_content
from harness.task.task import Entry, Instance
from harness.task.validate import marks, words
from harness.version import __version__


class JobContent:
    """What one job reads and computes, by what it is."""

    def __init__(self, session: Session, running: RunningJob) -> None:
        self._session = session
        self._contents = Contents(session)
        self._running = running
        self._data = list(dict.fromkeys(stream.data for stream in self.streams))

    @property
    def streams(self) -> Sequence[Stream]:
        """What it reads."""
        return self._running.job.reads.streams

    @property
    def views(self) -> list[str]:
        """Its views, by their names in the task."""
        return sorted({view for stream in self.streams for view in stream_views(stream)})

    def key(self, limit: int | None) -> str:
        """A hash of all that its states depend on, beside the documents and the code."""
        return key_of(
            __version__,
            self._session.task.spec.seed,
            limit,
            self._reads(self._running.job.reads),
            self._computed(self._running.job),
        )

    def names(self) -> list[str]:
        """What the task calls all that the job names, in an order of the job's own."""
        job, reads = self._running.job, self._running.job.reads
        views = [view for stream in self.streams for view in stream_views(stream)]
        named = [*reads.saes, *reads.start, *reads.finish, *views, *self._data]
        if isinstance(job, ReductionJob):
            named += _references(job.instances[0].options)
        elif isinstance(job, MetricJob):
            named += _references(self._metric(job).options)
        return named

    def _reads(self, reads: Reads) -> object:
        found = self._running.inputs.directions
        return (
            [self._stream(stream) for stream in reads.streams],
            [str(site) for site in reads.sites],
            [self._contents.sae(sae) for sae in reads.saes],
            reads.logits,
            [repr(path) for path in reads.paths],
            [self._direction(found[name]) for name in reads.start if name in found],
        )

    def _stream(self, stream: Stream) -> object:
        """A stream; the other part of the key has the documents of its rendering."""
        which = rendering(stream)
        return {
            **{name: repr(value) for name, value in vars(stream).items()},
            "view": self._contents.view(stream.view),
            "right": stream.right and self._contents.view(stream.right),
            "data": self._data.index(stream.data),
            "written by": [self._contents.view(view) for view in which.views],
        }

    def _computed(self, job: Job) -> object:
        """What is made of what is read, until the job finishes. How its records are called, and
        what it finishes with, is no part of it."""
        match job:
            case ReductionJob():
                return ("reduction", self._instance(job.instances[0]))
            case MetricJob():
                measured = self._entry(self._metric(job))
                return ("metric", measured, self._target(job.target), job.side)
            case FilterJob():
                return ("filter", repr(job.where), str(job.site))
            case ThresholdJob():
                return ("threshold", str(job.site))
            case SentinelJob():
                return ("difference",)

    def _metric(self, job: MetricJob) -> Entry[Any]:
        task = self._session.task
        return (task.preflight if job.preflight else task.metrics)[job.entry]

    def _instance(self, instance: Instance) -> object:
        kept = set(fields_of(type(instance.options))) - instance.options.finish_only
        values = by_content(instance.options, kept, self._named)
        owner = instance.owner
        return (instance.table, str(owner), owner.plugin.version, repr(sorted(values.items())))

    def _entry(self, entry: Entry[Any]) -> object:
        values = by_content(entry.options, named=self._named)
        owner = entry.owner
        return (str(owner), owner.plugin.version, repr(sorted(values.items())))

    def _target(self, target: Target) -> object:
        sae = target.sae and self._contents.sae(target.sae)
        return (str(target.site), sae, str(target.out))

    def _named(self, table: str, name: str) -> str | None:
        """What stands for a name in options: what is read says what it is."""
        task, reads = self._session.task, self._running.job.reads
        if table == "data" and name in self._data:
            return f"data {self._data.index(name)}"
        if table == "pairs" and name in task.spec.pairs:
            return self._pair(task.pair(name))
        if table == "directions" and name in reads.start:
            found = self._running.inputs.directions.get(name)
            return None if found is None else f"direction {self._direction(found)}"
        if table == "directions" and name in reads.finish:
            return f"direction at the end {reads.finish.index(name)}"
        return self._contents.named(table, name)

    def _pair(self, stream: Stream) -> str | None:
        """The place of a pair among the streams, whose filters are told there; None where it is
        read otherwise."""
        read = [_unfiltered(one) for one in self.streams]
        bare = _unfiltered(stream)
        return f"pair {read.index(bare)}" if bare in read else None

    def _direction(self, found: Direction | Undefined) -> str:
        if isinstance(found, Undefined) or found.sae is None:
            return direction_hash(found)
        known = found.sae in self._session.task.saes
        return direction_hash(found, self._contents.sae(found.sae) if known else found.sae)


def tells_names(states: Mapping[str, State], names: Iterable[str]) -> bool:
    """Whether an array of a state is called after something of the task: in another task, which
    calls that otherwise, it would not be found again."""
    arrays = {array for state in states.values() for array in state}
    return any(_is_in(name, array) for array in arrays for name in set(names))


def _is_in(name: str, array: str) -> bool:
    """Whether a name is a part of another; one or two letters only where they stand alone."""
    if len(name) > 2:
        return name in array
    return name in re.split("[^A-Za-z0-9]+", array)


def _references(options: Options) -> Iterator[str]:
    """What options name of the task."""
    for key, mark in marks(type(options)):
        if isinstance(mark, Ref):
            yield from words(getattr(options, key))


def _unfiltered(stream: Stream) -> Stream:
    return replace(stream, name="", where=Where())
