"""Runs a pass: every rendering once, every model once per batch, every job on what it reads.

Documents are read in shards, by whoever the team has for it, each into new states; these are put
together in the order of the data. The states of all jobs are saved after each shard, so that a
rerun continues there, and nothing but the states grows with the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.planning.plan import Plan
from harness.planning.steps import Job, Pass, Rendering
from harness.running.passes.jobs import Finished, RunningJob, finish, start
from harness.running.passes.key import state_key
from harness.running.passes.parked import Parked
from harness.running.passes.read import ReadShards, ShardRead, Use, uses_of, views_of
from harness.running.passes.recall import keep, recalled
from harness.running.passes.resume import resume
from harness.running.passes.shards import BLOCK, Shard, documents, shards
from harness.running.progress import Tick
from harness.running.reading.armed import Under
from harness.running.session import Session
from harness.running.spread.team import Team
from harness.store.keys import key_of
from harness.store.states import PassStates


def run_pass(
    session: Session,
    team: Team,
    work: Pass,
    number: int,
    finished: Callable[[Job, Finished], None],
    tick: Tick,
    saved: Path | None = None,
) -> None:
    """Reads what the jobs need, then hands what each job found to `finished`, in order.

    Where the data have categories, a metric and a statistic are finished for each of them and for
    all together. `number` is that of the pass, 0 of the preflight. `tick` counts documents. `saved`
    is where states are kept between shards: `<saved>-<number of the rendering>`.

    Jobs are read in an order of their own, and renderings as the jobs need them, so that saved
    states are found again in whatever order a task file has its tables. A job that the session's
    cache knows is not read again.
    """
    running = [start(session, job) for job in work.jobs]
    known = recalled(session, session.cache, running, work.limit)
    open_jobs = [one for one in running if one not in known]
    ordered = sorted(open_jobs, key=lambda one: repr(one.job.identity(session.task)))
    before, digests = "", dict[Rendering, str]()
    stores: list[PassStates] = []
    renderings = replace(work, jobs=tuple(one.job for one in ordered)).renderings()
    for which in work.renderings():
        if which not in renderings:
            tick(session.data.count(which.data, work.limit) or 0)
    for at, which in enumerate(renderings):
        uses = uses_of(session, ordered, which)
        store = None
        if saved is not None and not _is_edited(session, uses):
            key = state_key(session, _jobs(uses), views_of(uses), which, work.limit, before)
            store = PassStates(saved.with_name(f"{saved.name}-{at}"), str(key))
            stores.append(store)
        places = tuple((number, running.index(job)) for job in _jobs(uses))
        step = ReadShards(places, which)
        digests[which] = _read(session, team, step, uses, work.limit, tick, store)
        before = key_of(before, digests[which])
    keep(session, session.cache, ordered, work.limit, digests)
    if session.task.folders and session.cache is not None:
        # The next run has more checkpoints, and finds those of now in the cache, job by job.
        for store in stores:
            store.forget()
    for one in running:
        for found in finish(session, one):
            finished(one.job, found)


def run_pass_alone(
    session: Session, work: Pass, finished: Callable[[Job, Finished], None], tick: Tick
) -> None:
    """Reads one pass in this process, for whoever has no other steps and keeps no states."""
    planned = Plan(session.task, Pass(()), (work,), ())
    run_pass(session, Team(session, planned), work, 1, finished, tick)


def _is_edited(session: Session, uses: Sequence[Use]) -> bool:
    """Whether a stream, or a view that is read, has an edit.

    What the edit did is known only to the run that read the view, so nothing of it is kept for a
    rerun: the records of the edit would be missing there.
    """
    edited = any(use.stream.edit is not None for use in uses)
    return edited or any(map(session.task.edited_by, views_of(uses)))


def _read(
    session: Session,
    team: Team,
    step: ReadShards,
    uses: Sequence[Use],
    limit: int | None,
    tick: Tick,
    store: PassStates | None,
) -> str:
    """Reads one rendering into the states of its jobs; returns a hash of its documents."""
    which, jobs = step.which, _jobs(uses)
    same = [use for use in uses if use.stream.same_tokenizer and use.stream.align == "tokens"]
    others = [view for view in views_of(same) if view != which.view]
    rest, done, states = resume(store, lambda: documents(session, which, others, limit), tick)
    if states is not None:
        for job, its in zip(jobs, states, strict=True):
            job.states.update(its)
    size = BLOCK if which.pack is not None else session.task.spec.batch.shard
    parked = Parked(store)
    given: dict[int, Shard] = {}
    found: dict[int, ShardRead] = {}
    asked: list[int] = []
    merged = 0

    def parts() -> Iterator[Shard]:
        for number, shard in enumerate(shards(rest, size)):
            given[number] = shard
            if (known := parked.take(shard)) is not None:
                found[number] = ShardRead(known, {})
                tick(len(shard))
                continue
            asked.append(number)
            yield shard

    def merge() -> None:
        nonlocal merged
        while merged in found:
            _add(session, jobs, found.pop(merged))
            done.add(given.pop(merged))
            merged += 1
            if store:
                store.save(done.saved([job.states for job in jobs]))

    for part, read in team.map(step, parts(), tick):
        number = asked[part]
        found[number] = read
        if number > merged:
            parked.put(given[number], read.states)
        merge()
    merge()
    parked.empty()
    return done.digest


def _add(session: Session, jobs: Sequence[RunningJob], read: ShardRead) -> None:
    """Adds what a shard came to, after all shards before it."""
    for job, states in zip(jobs, read.states, strict=True):
        for category, state in states.items():
            before = job.states.get(category)
            job.states[category] = state if before is None else job.reduction.merge(before, state)
    for what, edits in read.edits.items():
        if isinstance(what, Under):
            earlier = session.tried.get(what)
            receipts = (*(earlier.receipts if earlier else ()), *edits.receipts)
            session.tried[what] = replace(edits, receipts=receipts)
            continue
        model = session.edited[what]
        model.receipts += edits.receipts
        model.idle, model.gated = edits.idle, edits.gated


def _jobs(uses: Sequence[Use]) -> list[RunningJob]:
    return list(dict.fromkeys(use.job for use in uses))
