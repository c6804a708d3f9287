"""Runs a pass: every rendering once, every model once per batch, every job on what it reads.

Documents are read in shards; after each one the states of all jobs are saved, so that a rerun
continues there, and nothing but the states grows with the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path

from harness.contract import (
    Example,
    Inputs,
    Outcome,
    Reduction,
    Site,
    State,
    Stream,
    Tokens,
)
from harness.errors import ModelError
from harness.machine import give_back_memory
from harness.planning.planner import (
    FilterJob,
    Job,
    MetricJob,
    Pass,
    ReductionJob,
    Rendering,
    SentinelJob,
    rendering,
)
from harness.running.experiments.completions import direction_hash
from harness.running.passes.metric import MetricReduction
from harness.running.preflight import Difference
from harness.running.reading.filters import FilteredShare
from harness.running.reading.reader import Reader, Wanted, at_depth
from harness.running.reading.rows import Row, alone, packed, same_query
from harness.running.session import Session
from harness.store.keys import key_of
from harness.store.states import Digest, PassStates, Saved
from harness.version import __version__

Tick = Callable[[int], None]
DOMAIN = "domain"
"""The axis of a category of the data."""
EVERYTHING = ""
"""The category of data without categories."""


@dataclass(frozen=True)
class Finished:
    """What a job found: `domain` is a category of its data, None for all of them together."""

    outcomes: Sequence[Outcome]
    domain: str | None = None


@dataclass
class _Running:
    """A job on its way through a pass, with a state for each category of its data."""

    job: Job
    reduction: Reduction
    inputs: Inputs
    states: dict[str, State] = field(default_factory=dict)


def run_pass(
    session: Session,
    work: Pass,
    finished: Callable[[Job, Finished], None],
    tick: Tick,
    saved: Path | None = None,
) -> None:
    """Reads what the jobs need and hands each job's outcomes to `finished`, in order.

    A reduction job has one outcome per instance; other jobs have one. Where the data have
    categories, a metric and a statistic are finished for each and for all together. `tick` counts
    documents. `saved` is where states are kept between shards: `<saved>-<number>`.
    """
    running = [_start(session, job) for job in work.jobs]
    before = ""
    for number, which in enumerate(work.renderings()):
        wanted = [
            (one, stream)
            for one in running
            for stream in one.job.reads.streams
            if rendering(stream) == which
        ]
        # What the edits of a view did is known only to the run that read it: such a pass is read
        # again as a whole, or a rerun would have fewer records.
        edited = any(session.task.edited_by(view) for _, s in wanted for view in _views(s))
        file = saved.with_name(f"{saved.name}-{number}") if saved and not edited else None
        before = key_of(before, _read(session, wanted, which, work.limit, tick, file, before))
    for one in running:
        for outcome in _finish(session, one):
            finished(one.job, outcome)


def _views(stream: Stream) -> tuple[str, ...]:
    return (stream.view,) if stream.right is None else (stream.view, stream.right)


def _start(session: Session, job: Job) -> _Running:
    axes = job.instances[0].axes if isinstance(job, ReductionJob) else {}
    return _Running(job, _reduction(session, job), _inputs(session, job, axes))


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
            return MetricReduction(FilteredShare(job.where, job.site), "pair", job.where_options)
        case SentinelJob():
            return Difference(job.reads.sites)


def _inputs(session: Session, job: Job, axes: Mapping[str, object]) -> Inputs:
    names = (*job.reads.start, *job.reads.finish)
    directions = {name: session.direction(name, axes) for name in names if session.has(name)}
    saes = {name: session.sae(name) for name in job.reads.saes}
    views = {view for stream in job.reads.streams for view in _views(stream)}
    facts = {view: session.view_model(view).facts for view in sorted(views)}
    sites = {name: session.task.sae_site(name) for name in saes}
    return Inputs(directions, saes, sites, facts, session.task.spec.seed)


def _finish(session: Session, one: _Running) -> Iterator[Finished]:
    states = one.states or {EVERYTHING: one.reduction.start(one.inputs)}
    total = reduce(one.reduction.merge, [states[name] for name in sorted(states)])
    # Of several streams, one may have categories and another none: that one is in the whole alone.
    categories = sorted(states.keys() - {EVERYTHING})
    if not isinstance(one.job, ReductionJob):
        if not isinstance(one.job, SentinelJob):
            for name in categories:
                yield Finished([one.reduction.finish(states[name], one.inputs)], name)
        yield Finished([one.reduction.finish(total, one.inputs)])
        return
    if one.job.statistic:
        for name in categories:
            parts = _finish_instances(session, one.job, states[name])
            for instance, outcome in zip(one.job.instances, parts, strict=True):
                session.file(instance, outcome, {**instance.axes, DOMAIN: name})
            yield Finished(parts, name)
    outcomes = _finish_instances(session, one.job, total)
    for instance, outcome in zip(one.job.instances, outcomes, strict=True):
        session.keep(instance, outcome)
    yield Finished(outcomes)


def _finish_instances(session: Session, job: ReductionJob, state: State) -> list[Outcome]:
    outcomes = []
    for instance in job.instances:
        reduction: Reduction = instance.build()
        outcomes.append(reduction.finish(state, _inputs(session, job, instance.axes)))
    return outcomes


# ── One rendering ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Shard:
    """Some documents, in the order of the data: the left side's prompts, and the right side's own
    where it has any."""

    left: Sequence[Tokens]
    right: Sequence[Tokens] | None
    categories: Sequence[str]


def _read(
    session: Session,
    wanted: Sequence[tuple[_Running, Stream]],
    which: Rendering,
    limit: int | None,
    tick: Tick,
    file: Path | None,
    before: str,
) -> str:
    """One rendering: its streams, all of whose models read the same documents."""
    reader, names = _reader(session, wanted)
    by = session.task.spec.data[which.data].by is not None
    size = session.task.spec.batch.activations
    done, tokens, digest = 0, 0, Digest()
    store = PassStates(file, _key(session, wanted, which, limit, before)) if file else None
    found = store.load() if store else None
    jobs = list(dict.fromkeys(id(one) for one, _ in wanted))
    runs = {id(one): one for one, _ in wanted}
    readers = [
        view
        for _, stream in wanted
        if stream.same_tokenizer and stream.align == "tokens"
        for view in _views(stream)
        if view != which.view
    ]
    for shard in _shards(session, which, list(dict.fromkeys(readers)), limit):
        for prompt, category in zip(shard.left, shard.categories, strict=True):
            digest.add(f"{prompt.example} {prompt.ids} {category}")
        for prompt in shard.right or ():
            digest.add(f"{prompt.ids}")
        done += len(shard.left)
        tokens += sum(len(prompt.ids) for prompt in shard.left)
        if found:
            tick(len(shard.left))
            if done == found.documents and str(digest) == found.digest:
                for key, states in zip(jobs, found.states, strict=True):
                    runs[key].states.update(states)
                found = None
            elif done >= found.documents:
                # The data have changed since: nothing of what was saved belongs to them.
                assert store is not None
                store.forget()
                return _read(session, wanted, which, limit, tick, file, before)
            continue
        for rows, other, category in _batches(shard, which.pack, by, size):
            batches = dict(zip(names, reader.read(rows, other), strict=True))
            for one, stream in wanted:
                batch = replace(batches[_kind(session, stream)], stream=stream.name)
                old = one.states.get(category)
                state = one.reduction.start(one.inputs) if old is None else old
                one.states[category] = one.reduction.update(state, batch)
            tick(sum(len(row.parts) for row in rows))
        give_back_memory()
        if store:
            store.save(Saved(done, str(digest), tokens, [runs[key].states for key in jobs]))
    if found and store:  # there are fewer documents now than were read then
        store.forget()
        return _read(session, wanted, which, limit, tick, file, before)
    return str(digest)


def _shards(
    session: Session, which: Rendering, readers: Sequence[str], limit: int | None
) -> Iterator[_Shard]:
    """The documents of a rendering, so many at a time that a shard has about as many tokens as
    the task says."""
    spec = session.task.spec.data[which.data]
    most, budget = session.task.spec.batch.shard, which.budget
    left: list[Tokens] = []
    right: list[Tokens] = []
    categories: list[str] = []
    tokens = read = 0
    first = True
    for examples in session.chunks(which.data, limit):
        mine = session.render(which.view, examples)
        theirs = session.render(which.right, examples) if which.right else mine
        if first:
            _check_tokenizers(session, which.view, readers, examples)
            first = False
        for example, one, other in zip(examples, mine, theirs, strict=True):
            if budget is not None and read >= budget:
                break
            if which.right:
                one, other = same_query(one, other)
            left.append(one)
            right.append(other)
            categories.append(EVERYTHING if spec.by is None else str(example.fields[spec.by]))
            read += len(one.ids)
            tokens += len(one.ids)
            if tokens >= most:
                yield _Shard(left, right if which.right else None, categories)
                left, right, categories, tokens = [], [], [], 0
        if budget is not None and read >= budget:
            break
    if left:
        yield _Shard(left, right if which.right else None, categories)


def _batches(
    shard: _Shard, pack: int | None, by: bool, size: int
) -> Iterator[tuple[Sequence[Row], Sequence[Row] | None, str]]:
    """Batches of one category; prompts of like length together: less padding, and no number
    depends on it."""
    for category in sorted(set(shard.categories)):
        mine = [i for i, name in enumerate(shard.categories) if name == category]
        if pack is not None:
            rows = packed([shard.left[i] for i in mine], pack)
            for start in range(0, len(rows), size):
                yield rows[start : start + size], None, category
            continue
        mine.sort(key=lambda i: len(shard.left[i].ids))
        for start in range(0, len(mine), size):
            some = mine[start : start + size]
            other = [alone(shard.right[i]) for i in some] if shard.right is not None else None
            yield [alone(shard.left[i]) for i in some], other, category


def _check_tokenizers(
    session: Session, reading: str, readers: Sequence[str], examples: Sequence[Example]
) -> None:
    """Both sides of a pair must mean the same by a token id."""
    left = session.view_model(reading)
    for view in readers:
        model = session.view_model(view)
        for example in examples if model is not left else ():
            mine = left.encode(example.text, special=False)
            theirs = model.encode(example.text, special=False)
            if mine == theirs:
                continue
            at = next(
                (i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b),
                min(len(mine), len(theirs)),
            )
            words = [repr(m.decode(ids[at : at + 1])) for m, ids in ((left, mine), (model, theirs))]
            raise ModelError(
                f"views.{view}: its tokenizer is not that of views.{reading}. Document "
                f"{example.id}, token {at}: {words[0]} there, {words[1]} here. Both sides of a "
                "pair read the same ids. Choose models that share a tokenizer, or set "
                "same_tokenizer = false in the pair if the ids mean the same all the same."
            )


def _reader(
    session: Session, wanted: Sequence[tuple[_Running, Stream]]
) -> tuple[Reader, list[Stream]]:
    """What reads the streams, and the streams in the order of its batches."""
    sites: dict[Stream, set[Site]] = {}
    encoded: dict[Stream, set[tuple[str, Site]]] = {}
    logits: set[Stream] = set()
    for one, stream in wanted:
        kind = _kind(session, stream)
        needs = {*one.job.reads.sites, *map(session.task.sae_site, one.job.reads.saes)}
        if kind.where.site is not None:
            needs.add(kind.where.site)
        sites.setdefault(kind, set()).update(needs)
        encoded.setdefault(kind, set()).update(one.job.encoded(session.task))
        if one.job.reads.logits:
            logits.add(kind)
    names = list(sites)
    views = dict.fromkeys(v for s in names for v in _views(s))
    saes = dict.fromkeys(sae for one, _ in wanted for sae in one.job.reads.saes)
    reader = Reader(
        tuple(
            Wanted(kind, frozenset(sites[kind]), frozenset(encoded[kind]), kind in logits)
            for kind in names
        ),
        {view: session.view_model(view) for view in views},
        {sae: session.sae(sae) for sae in saes},
        {sae: session.task.sae_site(sae) for sae in saes},
    )
    return reader, names


def _kind(session: Session, stream: Stream) -> Stream:
    """Streams that differ in their name alone are the same batches."""
    return at_depth(replace(stream, name=""), session.view_model(stream.view).facts.layers)


def _key(
    session: Session,
    wanted: Sequence[tuple[_Running, Stream]],
    which: Rendering,
    limit: int | None,
    before: str,
) -> str:
    """A hash of everything that states depend on, beside the documents of this rendering."""
    views = dict.fromkeys(v for _, s in wanted for v in _views(s))
    saes = dict.fromkeys(sae for one, _ in wanted for sae in one.job.reads.saes)
    return key_of(
        __version__,
        {view: session.view_model(view).fingerprint for view in views},
        {view: repr(session.view(view)) for view in views},
        {sae: session.sae(sae).fingerprint for sae in saes},
        [one.job.identity(session.task) for one, _ in wanted],
        [
            {name: direction_hash(found) for name, found in one.inputs.directions.items()}
            for one, _ in wanted
        ],
        repr(which),
        before,
        limit,
        session.task.spec.seed,
        session.task.spec.batch.shard,
        session.task.spec.batch.activations,
    )
