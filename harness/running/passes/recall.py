"""Jobs of a pass that another run has done already: their states, from the cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.planning.steps import Rendering, rendering
from harness.registry import Owned
from harness.running.code import code_of
from harness.running.passes.jobs import RunningJob, stream_views
from harness.running.passes.key import state_key
from harness.running.passes.resume import DocumentsRead
from harness.running.passes.shards import documents
from harness.running.session import Session
from harness.store.cache import Cache
from harness.store.keys import key_of
from harness.store.states import PassStates, Saved
from harness.task.prompts import view_spec

KIND = "passes"
Digests = dict[Rendering, str]
"""Hashes of the documents of renderings."""


def recalled(
    session: Session, cache: Cache | None, jobs: Iterable[RunningJob], limit: int | None
) -> list[RunningJob]:
    """The jobs whose states are in the cache; they have them when this returns.

    The states are those of a job that read the same documents with the same models, SAEs,
    directions, options and code. Where something of the job alone is known, the documents are
    rendered to be compared; no model reads them.
    """
    found: list[RunningJob] = []
    known: Digests = {}
    for job in jobs:
        place = _place(session, cache, job, limit)
        if cache is None or place is None or not place.is_dir():
            continue
        digests = [_digest(session, which, limit, known) for which in _renderings(job)]
        entry = place / key_of(digests)
        store = PassStates(entry, entry.name)
        with cache.reading(entry.with_name(f"{entry.name}.0")):
            saved = store.load()
        if saved is None or len(saved.states) != 1:
            with cache.writing() as writes:
                if writes:
                    store.forget()  # what is torn or changed is no use to anybody
            continue
        job.states.update(saved.states[0])
        found.append(job)
    if found:
        session.taken["jobs"] += len(found)
    return found


def keep(
    session: Session,
    cache: Cache | None,
    jobs: Sequence[RunningJob],
    limit: int | None,
    digests: Mapping[Rendering, str],
) -> None:
    """Puts the states of jobs that have read everything into the cache."""
    for job in jobs:
        place = _place(session, cache, job, limit)
        if cache is None or place is None:
            continue
        entry = place / key_of([digests[which] for which in _renderings(job)])
        with cache.writing() as writes:
            if writes:
                PassStates(entry, entry.name).save(Saved(0, "", [job.states]))


def _place(
    session: Session, cache: Cache | None, job: RunningJob, limit: int | None
) -> Path | None:
    """The folder of what this job came to, on whatever documents; None where nothing is kept of it.

    That is a job that reads nothing, and one that reads an edited view: what its edits did is
    known only to the run that read it.
    """
    views = sorted({view for stream in job.job.reads.streams for view in stream_views(stream)})
    if cache is None or not views or any(map(session.task.edited_by, views)):
        return None
    parts = [str(state_key(session, [job], views, which, limit, "")) for which in _renderings(job)]
    return cache.place(KIND, key_of(code_of(_owners(session, job, views)), parts))


def _owners(session: Session, job: RunningJob, views: Iterable[str]) -> list[Owned]:
    """Whose code decides what a job comes to: backends, formats of SAEs, and its own component."""
    task = session.task
    models = [task.models[view_spec(task.spec, view).model].owner for view in views]
    saes = [task.saes[name].owner for name in job.job.reads.saes]
    return [*models, *saes, *job.job.owners(task)]


def _renderings(job: RunningJob) -> list[Rendering]:
    return sorted({rendering(stream) for stream in job.job.reads.streams}, key=repr)


def _digest(session: Session, which: Rendering, limit: int | None, known: Digests) -> str:
    if which not in known:
        read = DocumentsRead()
        for document in documents(session, which, (), limit):
            read.add([document])
        known[which] = read.digest
    return known[which]
