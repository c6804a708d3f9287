"""Reads shards of a rendering: what any process of a run does for a pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from harness.contract import Receipt, Stream
from harness.machine import give_back_memory
from harness.planning.plan import Plan
from harness.planning.steps import Rendering, rendering
from harness.running.passes.jobs import RunningJob, start, stream_views
from harness.running.passes.shards import Shard, batches
from harness.running.progress import Tick
from harness.running.reading.reader import Reader, Wanted, at_depth
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


@dataclass(frozen=True)
class EditsDone:
    """What the edits of a view did while a shard was read."""

    receipts: tuple[Receipt, ...]
    idle: bool
    gated: bool


@dataclass(frozen=True)
class ShardRead:
    """What reading one shard came to."""

    states: States
    """For each job, its states by category."""
    edits: Mapping[str, EditsDone]
    """By view that is edited."""


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
        reader = _reader(session, uses)
        size = session.task.spec.batch.activations

        def read(shard: Shard) -> ShardRead:
            for job in running:
                job.states = {}
            for rows in batches(shard, self.which.pack, size):
                found = reader.read(rows.left, rows.right)
                for use in uses:
                    use.job.update(rows.category, replace(found[use.stream], stream=use.name))
                tick(sum(len(row.parts) for row in rows.left))
            give_back_memory()
            return ShardRead([job.states for job in running], _edits_done(session, uses))

        return read


def uses_of(session: Session, running: Sequence[RunningJob], which: Rendering) -> list[Use]:
    """Every stream of a rendering that some jobs read."""
    return [
        Use(
            one,
            stream.name,
            at_depth(replace(stream, name=""), session.view_model(stream.view).facts.layers),
        )
        for one in running
        for stream in one.job.reads.streams
        if rendering(stream) == which
    ]


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
    """Reads the streams, with all that any of their jobs needs."""
    wanted = []
    for use in uses:
        job, reads, where = use.job.job, use.job.job.reads, use.stream.where
        encoded = chain.from_iterable(map(session.task.sae_sites, reads.saes))
        sites = (*reads.sites, *encoded, where.site)
        read = frozenset(site for site in sites if site is not None)
        wanted.append(Wanted(use.stream, read, job.encoded(session.task), reads.logits))
    saes = list(dict.fromkeys(sae for use in uses for sae in use.job.job.reads.saes))
    return Reader(
        tuple(wanted),
        {view: session.view_model(view) for view in views_of(uses)},
        {sae: session.sae(sae) for sae in saes},
        {sae: session.task.sae_site(sae) for sae in saes},
    )
