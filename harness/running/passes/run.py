"""Runs a pass: every rendering once, every model once per batch, every job on what it reads.

Documents are read in shards. After each shard the states of all jobs are saved, so that a rerun
continues there, and nothing but the states grows with the data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from harness.contract import Stream
from harness.machine import give_back_memory
from harness.planning.steps import Job, Pass, Rendering, rendering
from harness.running.passes.jobs import Finished, RunningJob, finish, start, stream_views
from harness.running.passes.key import state_key
from harness.running.passes.recall import keep, recalled
from harness.running.passes.resume import resume
from harness.running.passes.shards import BLOCK, batches, documents, shards
from harness.running.progress import Tick
from harness.running.reading.reader import Reader, Wanted, at_depth
from harness.running.session import Session
from harness.store.keys import key_of
from harness.store.states import PassStates


@dataclass(frozen=True)
class _Use:
    """A job that reads a stream of the rendering at hand."""

    job: RunningJob
    name: str
    """What the job calls the stream."""
    stream: Stream
    """The stream without that name, its filter at a block: alike for all that read the same."""


def run_pass(
    session: Session,
    work: Pass,
    finished: Callable[[Job, Finished], None],
    tick: Tick,
    saved: Path | None = None,
) -> None:
    """Reads what the jobs need, then hands what each job found to `finished`, in order.

    Where the data have categories, a metric and a statistic are finished for each of them and for
    all together. `tick` counts documents. `saved` is where states are kept between shards:
    `<saved>-<number of the rendering>`.

    Jobs are read in an order of their own, and renderings as the jobs need them, so that saved
    states are found again in whatever order a task file has its tables. A job that the session's
    cache knows is not read again.
    """
    running = [start(session, job) for job in work.jobs]
    known = recalled(session, session.cache, running, work.limit)
    open_jobs = [one for one in running if one not in known]
    ordered = sorted(open_jobs, key=lambda one: repr(one.job.identity(session.task)))
    before, digests = "", dict[Rendering, str]()
    renderings = replace(work, jobs=tuple(one.job for one in ordered)).renderings()
    for which in work.renderings():
        if which not in renderings:
            tick(session.data.count(which.data, work.limit) or 0)
    for number, which in enumerate(renderings):
        uses = _uses(session, ordered, which)
        store = None
        if saved is not None and not _is_edited(session, uses):
            key = state_key(session, _jobs(uses), _views(uses), which, work.limit, before)
            store = PassStates(saved.with_name(f"{saved.name}-{number}"), str(key))
        digests[which] = _read(session, uses, which, work.limit, tick, store)
        before = key_of(before, digests[which])
    keep(session, session.cache, ordered, work.limit, digests)
    for one in running:
        for found in finish(session, one):
            finished(one.job, found)


def _uses(session: Session, running: Sequence[RunningJob], which: Rendering) -> list[_Use]:
    return [
        _Use(
            one,
            stream.name,
            at_depth(replace(stream, name=""), session.view_model(stream.view).facts.layers),
        )
        for one in running
        for stream in one.job.reads.streams
        if rendering(stream) == which
    ]


def _is_edited(session: Session, uses: Sequence[_Use]) -> bool:
    """Whether a view that is read has an edit.

    What the edit did is known only to the run that read the view, so nothing of it is kept for a
    rerun: the records of the edit would be missing there.
    """
    return any(map(session.task.edited_by, _views(uses)))


def _read(
    session: Session,
    uses: Sequence[_Use],
    which: Rendering,
    limit: int | None,
    tick: Tick,
    store: PassStates | None,
) -> str:
    """Reads one rendering into the states of its jobs; returns a hash of its documents."""
    reader = _reader(session, uses)
    same = [use for use in uses if use.stream.same_tokenizer and use.stream.align == "tokens"]
    others = [view for view in _views(same) if view != which.view]
    jobs = _jobs(uses)
    rest, done, states = resume(store, lambda: documents(session, which, others, limit), tick)
    if states is not None:
        for job, its in zip(jobs, states, strict=True):
            job.states.update(its)
    size = BLOCK if which.pack is not None else session.task.spec.batch.shard
    for shard in shards(rest, size):
        done.add(shard)
        for rows in batches(shard, which.pack, session.task.spec.batch.activations):
            found = reader.read(rows.left, rows.right)
            for use in uses:
                use.job.update(rows.category, replace(found[use.stream], stream=use.name))
            tick(sum(len(row.parts) for row in rows.left))
        give_back_memory()
        if store:
            store.save(done.saved([job.states for job in jobs]))
    return done.digest


def _reader(session: Session, uses: Sequence[_Use]) -> Reader:
    """Reads the streams, with all that any of their jobs needs."""
    wanted = []
    for use in uses:
        job, reads, where = use.job.job, use.job.job.reads, use.stream.where
        encoded = chain.from_iterable(map(session.task.sae_sites, reads.saes))
        sites = (*reads.sites, *encoded, where.site)
        read = frozenset(site for site in sites if site is not None)
        wanted.append(Wanted(use.stream, read, job.encoded(session.task), reads.logits))
    saes = _saes(uses)
    return Reader(
        tuple(wanted),
        {view: session.view_model(view) for view in _views(uses)},
        {sae: session.sae(sae) for sae in saes},
        {sae: session.task.sae_site(sae) for sae in saes},
    )


def _jobs(uses: Sequence[_Use]) -> list[RunningJob]:
    return list(dict.fromkeys(use.job for use in uses))


def _views(uses: Sequence[_Use]) -> list[str]:
    return list(dict.fromkeys(view for use in uses for view in stream_views(use.stream)))


def _saes(uses: Sequence[_Use]) -> list[str]:
    return list(dict.fromkeys(sae for use in uses for sae in use.job.job.reads.saes))
