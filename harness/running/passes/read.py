"""Reads shards of a rendering: what any process of a run does for a pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from harness.contract import Batch, GradientPath, Stream
from harness.machine import give_back_memory
from harness.planning.plan import Plan
from harness.planning.steps import Rendering, rendering
from harness.running.passes.jobs import RunningJob, start, stream_views
from harness.running.passes.shards import Shard, batches
from harness.running.progress import Tick
from harness.running.reading.armed import ArmedReader, EditsDone, Under, under
from harness.running.reading.reader import Reader, Wanted, at_depth, paths_at_depth
from harness.running.session import Session
from harness.store.states import States


@dataclass(frozen=True)
class Use:
    """A job that reads a stream of the rendering at hand."""

    job: RunningJob
    name: str
    """What the job calls the stream."""
    stream: Stream
    """The stream without that name, its filter at a block: alike for all that read the same."""
    paths: tuple[GradientPath, ...] = ()
    """The paths that it reads, their sites blocks."""


@dataclass(frozen=True)
class ShardRead:
    """What reading one shard came to."""

    states: States
    """For each job, its states by category."""
    edits: Mapping[str | Under, EditsDone]
    """By view that is edited, and by view under the edit of a stream."""


@dataclass(frozen=True)
class ReadShards:
    """Reads shards of one rendering into new states of some jobs."""

    jobs: tuple[tuple[int, int], ...]
    """The numbers of the jobs: of their pass (0: the preflight), and in it."""
    which: Rendering

    def open(self, session: Session, plan: Plan, tick: Tick) -> Callable[[Shard], ShardRead]:
        """Starts the jobs, and loads the models and SAEs that they read."""
        passes = (plan.preflight, *plan.passes)
        running = [start(session, passes[work].jobs[number]) for work, number in self.jobs]
        uses = uses_of(session, running, self.which)
        reader, armed = _reader(session, uses), _armed_reader(session, uses)
        size = session.task.spec.batch.activations
        readers: dict[Stream, list[Use]] = {}
        for use in uses:
            readers.setdefault(use.stream, []).append(use)

        def read(shard: Shard) -> ShardRead:
            for job in running:
                job.states = {}
            for rows in batches(shard, self.which.pack, size):
                found = reader.read(rows.left, rows.right)
                for stream, batch in chain(found.items(), armed.read(rows.left, rows.right)):
                    for use in readers[stream]:
                        use.job.update(rows.category, _own(use, batch))
                tick(sum(len(row.parts) for row in rows.left))
            give_back_memory()
            done: dict[str | Under, EditsDone] = {}
            for edits in (_edits_done(session, uses), armed.taken()):
                done.update(edits.items())
            return ShardRead([job.states for job in running], done)

        return read


def _own(use: Use, batch: Batch) -> Batch:
    """What a job sees of a batch: under its own name of the stream, with its own SAEs and paths."""
    saes = {name: batch.saes[name] for name in use.job.job.reads.saes}
    paths = {path: batch.paths[path] for path in use.paths}
    return replace(batch, stream=use.name, saes=saes, paths=paths)


def uses_of(session: Session, running: Sequence[RunningJob], which: Rendering) -> list[Use]:
    """Every stream of a rendering that some jobs read."""
    found = []
    for one in running:
        for stream in one.job.reads.streams:
            if rendering(stream) == which:
                layers = session.view_model(stream.view).facts.layers
                bare = at_depth(replace(stream, name=""), layers)
                paths = paths_at_depth(one.job.reads.paths, layers)
                found.append(Use(one, stream.name, bare, paths))
    return found


def views_of(uses: Sequence[Use]) -> list[str]:
    """The views that are read."""
    return list(dict.fromkeys(view for use in uses for view in stream_views(use.stream)))


def _edits_done(session: Session, uses: Sequence[Use]) -> dict[str, EditsDone]:
    """What edits did since the last shard. The session is left as if they had not been made."""
    found = {}
    for view in views_of(uses):
        if (model := session.edited.get(view)) is not None:
            found[view] = EditsDone(tuple(model.receipts), model.idle, model.gated)
            model.receipts = []
    return found


def _reader(session: Session, uses: Sequence[Use]) -> Reader:
    """Reads the streams without edits, with all that any of their jobs needs."""
    mine = [use for use in uses if use.stream.edit is None]
    saes = _saes(mine)
    return Reader(
        _wanted(session, mine),
        {view: session.view_model(view) for view in views_of(mine)},
        {sae: session.sae(sae) for sae in saes},
        {sae: session.task.sae_site(sae) for sae in saes},
    )


def _armed_reader(session: Session, uses: Sequence[Use]) -> ArmedReader:
    """Reads the streams with edits likewise, but for those whose direction is undefined."""
    mine, arms = [], {}
    for use in uses:
        if use.stream.edit is None:
            continue
        one = under(use.stream)
        if one not in arms and (arm := session.arm_of(one)) is not None:
            arms[one] = arm
        if one in arms:
            mine.append(use)
    saes = _saes(mine)
    return ArmedReader(
        _wanted(session, mine),
        {view: session.view_model(view) for view in views_of(mine)},
        {sae: session.sae(sae) for sae in saes},
        {sae: session.task.sae_site(sae) for sae in saes},
        arms,
        session.task.spec.batch.activations,
    )


def _saes(uses: Sequence[Use]) -> list[str]:
    return list(dict.fromkeys(sae for use in uses for sae in use.job.job.reads.saes))


def _wanted(session: Session, uses: Sequence[Use]) -> tuple[Wanted, ...]:
    """What the jobs need of their streams."""
    wanted = []
    for use in uses:
        job, reads, where = use.job.job, use.job.job.reads, use.stream.where
        encoded = chain.from_iterable(map(session.task.sae_sites, reads.saes))
        sites = (*reads.sites, *encoded, where.site, *(path.site for path in use.paths))
        read = frozenset(site for site in sites if site is not None)
        encodes = job.encoded(session.task)
        wanted.append(Wanted(use.stream, read, encodes, reads.logits, use.paths))
    return tuple(wanted)
