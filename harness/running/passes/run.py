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
from harness.running.passes.finished import FinishedJobs
from harness.running.passes.jobs import Finished, RunningJob, finish, start, stream_views
from harness.running.passes.key import state_key
from harness.running.passes.resume import DocumentsRead, resume
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
    states are found again in whatever order a task file has its tables.
    """
    running = [start(session, job) for job in work.jobs]
    ordered = sorted(running, key=lambda one: repr(one.job.identity(session.task)))
    before = ""
    renderings = replace(work, jobs=tuple(one.job for one in ordered)).renderings()
    for number, which in enumerate(renderings):
        uses = _uses(session, ordered, which)
        kept = saved.with_name(f"{saved.name}-{number}") if saved is not None else None
        if _is_edited(session, uses):
            kept = None
        if session.task.folders and kept is not None:
            read = _read_grown(session, uses, which, work.limit, tick, kept, before)
        else:
            read = _read(session, uses, which, work.limit, tick, kept, before)
        before = key_of(before, read.digest)
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
    saved: Path | None,
    before: str,
) -> DocumentsRead:
    """Reads one rendering into the states of its jobs; returns what was read.

    `saved` is where the states are kept; `before` are the documents of earlier renderings.
    """
    store, jobs = None, _jobs(uses)
    if saved is not None:
        key = state_key(session, jobs, _views(uses), which, limit, before)
        store = PassStates(saved, str(key))
    reader = _reader(session, uses)
    others = _others(uses, which)
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
    return done


def _read_grown(
    session: Session,
    uses: Sequence[_Use],
    which: Rendering,
    limit: int | None,
    tick: Tick,
    saved: Path,
    before: str,
) -> DocumentsRead:
    """Reads one rendering as `_read` does, but for jobs that have read it in an earlier run.

    The documents are rendered again and compared; where they have changed, all jobs read them.
    """
    keys: dict[RunningJob, str] = {}
    for job in _jobs(uses):
        views = _views([use for use in uses if use.job is job])
        keys[job] = str(state_key(session, [job], views, which, limit, before))
    finished = FinishedJobs(saved.with_name(f"{saved.name}-jobs"), keys)
    known = finished.known(_jobs(uses))
    new = [use for use in uses if use.job not in known]
    if new:
        read = _read(session, new, which, limit, tick, saved, before)
    else:
        read = DocumentsRead()
        for document in documents(session, which, _others(uses, which), limit):
            read.add([document])
            tick(1)
    stale = [job for job, its in known.items() if its.digest != read.digest]
    for job in stale:
        finished.forget(job)
    if stale:
        again = [use for use in uses if use.job in stale]
        read = _read(session, again, which, limit, lambda done: None, None, before)
    for job in known.keys() - set(stale):
        job.states.update(known[job].states[0])
    finished.save([job for job in _jobs(uses) if job not in known or job in stale], read)
    PassStates(saved, "").forget()
    return read


def _others(uses: Sequence[_Use], which: Rendering) -> list[str]:
    """The views that read the token ids of the rendering's own view."""
    same = [use for use in uses if use.stream.same_tokenizer and use.stream.align == "tokens"]
    return [view for view in _views(same) if view != which.view]


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
