"""Jobs of a pass that another run has done already: their states, from the cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.contract import State
from harness.planning.steps import Rendering, rendering
from harness.registry import Owned
from harness.running.code import code_of
from harness.running.passes.content import JobContent, tells_names
from harness.running.passes.jobs import RunningJob
from harness.running.passes.resume import DocumentsRead
from harness.running.passes.shards import documents
from harness.running.session import Session
from harness.store.cache import Cache
from harness.store.entry import own_key
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
        content = _kept(session, cache, job)
        if cache is None or content is None:
            continue
        for place in _places(session, cache, content, job, limit):
            if job not in found and place.is_dir():
                digests = [_digest(session, which, limit, known) for which in _renderings(job)]
                states = _states(cache, place / key_of(digests))
                if states is not None:
                    job.states.update(states)
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
        content = _kept(session, cache, job)
        if cache is None or content is None:
            continue
        by_content, by_name = _places(session, cache, content, job, limit)
        place = by_name if tells_names(job.states, content.names()) else by_content
        entry = place / key_of([digests[which] for which in _renderings(job)])
        with cache.writing() as writes:
            if writes:
                kept_states(entry).save(Saved(0, "", [job.states]))


def kept_states(entry: Path) -> PassStates:
    """The states of an entry of the cache. They hold its place, so that none is taken for what
    another job counted on the same documents."""
    return PassStates(entry, own_key(entry))


def _kept(session: Session, cache: Cache | None, job: RunningJob) -> JobContent | None:
    """What the job is in the cache; None where nothing is kept of it.

    That is a job that reads nothing, and one that reads under an edit: what the edits did is known
    only to the run that read it.
    """
    content = JobContent(session, job)
    views = content.views
    edited = any(stream.edit is not None for stream in content.streams)
    if cache is None or not views or edited or any(map(session.task.edited_by, views)):
        return None
    return content


def _places(
    session: Session, cache: Cache, content: JobContent, job: RunningJob, limit: int | None
) -> tuple[Path, Path]:
    """The folders of what this job came to, on whatever documents: for every task, and for those
    that call things alike, where an array of its state is called after one of them."""
    key = key_of(code_of(_owners(session, job, content.views)), content.key(limit))
    return cache.place(KIND, key), cache.place(KIND, key_of(key, content.names()))


def _states(cache: Cache, entry: Path) -> dict[str, State] | None:
    """The states of an entry; None where there are none. What is torn or was changed is removed."""
    store = kept_states(entry)
    if not entry.with_name(f"{entry.name}.0").exists():
        return None
    with cache.reading(entry.with_name(f"{entry.name}.0")):
        saved = store.load()
    if saved is not None and len(saved.states) == 1:
        return saved.states[0]
    with cache.writing() as writes:
        if writes:
            store.forget()
    return None


def _owners(session: Session, job: RunningJob, views: Iterable[str]) -> list[Owned]:
    """Whose code decides what a job comes to: backends, formats of SAEs, and its own component."""
    task = session.task
    models = [task.models[view_spec(task.spec, view).model].owner for view in views]
    saes = [task.saes[name].owner for name in job.job.reads.saes]
    return [*models, *saes, *job.job.owners(task)]


def _renderings(job: RunningJob) -> list[Rendering]:
    """The renderings of its streams, in the order of these."""
    return [rendering(stream) for stream in job.job.reads.streams]


def _digest(session: Session, which: Rendering, limit: int | None, known: Digests) -> str:
    if which not in known:
        read = DocumentsRead()
        for document in documents(session, which, (), limit):
            read.add([document])
        known[which] = read.digest
    return known[which]
