"""What reading a rendering takes: which models read its batches, and what SAEs encode of them.

It goes by the rules of `harness.running.reading`: one forward of each model for all streams, and
each SAE once for all streams with the same tokens of the same side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from harness.contract import Encodes, Site, Stream, Where
from harness.planning.batches import BLOCK, alike, by_category, packed, parts, shards
from harness.planning.cost.lengths import PromptLengths
from harness.planning.counts import Counts
from harness.planning.documents import Document, Measured, measured_of_all
from harness.planning.steps import Job, MetricJob, ReductionJob, Rendering
from harness.task.prompts import view_spec
from harness.task.task import Task

Lengths = Sequence[int]
"""Tokens of the rows of a batch."""


@dataclass(frozen=True)
class Batches:
    """The batches of a rendering: for each of its views, the lengths of the rows of each."""

    shards: int
    sides: tuple[Sequence[Lengths], ...]


@dataclass(frozen=True)
class Read:
    """What one forward over each of some batches comes to."""

    counts: Counts
    largest: int
    """Positions of the largest of them."""
    pairs: int
    """Pairs of a token and one that it looks at, padding included."""


def read_of(batches: Sequence[Lengths]) -> Read:
    """What reading batches comes to."""
    rows, widths = [len(batch) for batch in batches], [max(batch) for batch in batches]
    positions = [many * width for many, width in zip(rows, widths, strict=True)]
    pairs = sum(one * (width + 1) // 2 for one, width in zip(positions, widths, strict=True))
    tokens = sum(map(sum, batches))
    counts = Counts(len(batches), sum(rows), tokens, positions=sum(positions))
    return Read(counts, max(positions, default=0), pairs)


def batches_of(task: Task, which: Rendering, documents: Sequence[Document]) -> Batches:
    """The batches in which a run reads some documents."""
    size = task.spec.batch.activations
    found: list[list[Lengths]] = [[] for _ in which.views]
    count = 0
    most = BLOCK if which.pack is not None else task.spec.batch.shard
    for shard in shards(documents, _first, most):
        count += 1
        for _, mine in by_category(shard, lambda document: document.category):
            if which.pack is not None:
                found[0] += parts(packed(map(_first, mine), which.pack), size)
                continue
            for some in alike(mine, _first, size):
                for place, side in enumerate(found):
                    side.append([document.lengths[place] for document in some])
    return Batches(count, tuple(found))


def _first(document: Document) -> int:
    return document.lengths[0]


@dataclass(frozen=True)
class Source:
    """Where the activations of one side of a stream come from; equal where one forward serves."""

    model: str
    own: bool
    """Whether it reads its own rendering, the second one."""
    edited: str | None = None
    """The view whose edit it reads under."""


@dataclass(frozen=True)
class Use:
    """A job that reads a stream of a rendering as it is."""

    job: Job
    stream: Stream
    sources: tuple[Source, ...]
    """Left, and right where the stream is a pair."""


def uses_of(task: Task, jobs: Sequence[Job], streams: Sequence[Sequence[Stream]]) -> list[Use]:
    """The uses of the streams of each job."""
    return [
        Use(job, stream, tuple(_sources(task, stream)))
        for job, some in zip(jobs, streams, strict=True)
        for stream in some
    ]


def _sources(task: Task, stream: Stream) -> Iterator[Source]:
    yield source(task, stream.view)
    if stream.right is not None:
        yield source(task, stream.right, own=stream.align == "span")


def source(task: Task, view: str, *, own: bool = False) -> Source:
    """Where the activations of a view come from."""
    spec = view_spec(task.spec, view)
    return Source(spec.model, own, view if spec.edit is not None else None)


def with_logits(uses: Sequence[Use]) -> set[Source]:
    """The sources that are read to their end, with logits of every position."""
    return {one for use in uses if use.job.reads.logits for one in use.sources}


def sites_of(task: Task, uses: Sequence[Use]) -> Mapping[Source, set[Site]]:
    """By source, the sites that are read of it; the last block stands for logits."""
    found: dict[Source, set[Site]] = {}
    for use in uses:
        reads, where = use.job.reads, use.stream.where
        encoded = chain.from_iterable(map(task.sae_sites, reads.saes))
        wanted = [*reads.sites, *encoded, *(path.site for path in reads.paths)]
        for one in use.sources:
            end = [task.end(one.model)] if reads.logits else []
            filters = [where.site] if where.site is not None else []
            found.setdefault(one, set()).update(wanted, end, filters)
    return found


# ── What SAEs encode ─────────────────────────────────────────────────────────────────────────────

_Sae = tuple[str, Site]


@dataclass(frozen=True)
class Encoded:
    """How many tokens an SAE encodes of a model's activations."""

    model: str
    sae: str
    tokens: int
    exact: bool
    """Whether it is that many, or at most that many: what a filter lets through, only the
    activations tell."""


@dataclass
class _Side:
    """What is encoded of the same tokens of the same source."""

    model: str
    kind: tuple[Stream, frozenset[int] | None]
    """A stream that measures these tokens, and what is masked in them."""
    whole: set[_Sae] = field(default_factory=set)
    """Of all of them."""
    some: set[tuple[_Sae, Where]] = field(default_factory=set)
    """Of those that a filter selects."""
    anew: list[tuple[str, int, bool]] = field(default_factory=list)
    """SAEs, how often they encode something else, and whether only of what a filter selects."""


def encoded(
    task: Task, uses: Sequence[Use], documents: Sequence[Document], prompts: PromptLengths
) -> Iterator[Encoded]:
    """What SAEs encode of some documents."""
    shared = _shared(task, uses)
    sides: dict[object, _Side] = {}
    for use in uses:
        wanted = _wanted(task, use)
        if not wanted:
            continue
        masks = [prompts.masked(one.model) for one in use.sources]
        masked = None if None in masks else frozenset[int]().union(*(one or () for one in masks))
        where = use.stream.where
        limits = (where.max_norm_ratio, where.site, use.sources) if where.max_norm_ratio else ()
        tokens = (use.stream.tokens, masked, where.skip_first, limits)
        for sae, encodes in wanted.items():
            for one in _encoding(task, sae[0], encodes, use.sources):
                its = (*use.sources,) if task.of_pair(sae[0]) else (one,)
                side = sides.setdefault((its, tokens), _Side(one.model, (use.stream, masked)))
                if not where.selects or sae in shared.get(one, ()) or _sequence(task, sae[0]):
                    side.whole.add(sae)
                else:
                    side.some.add((sae, where))
            if encodes.anew:
                first = use.sources[0]
                side = sides.setdefault(
                    ((first,), tokens), _Side(first.model, (use.stream, masked))
                )
                side.anew.append((sae[0], encodes.anew, where.selects))
    counted: dict[object, Measured] = {}  # many sides differ in their models alone
    for side in sides.values():
        stream, masked = side.kind
        how = (stream.tokens, stream.where.skip_first, masked)
        if how not in counted:
            counted[how] = measured_of_all(documents, *how)
        yield from _of_side(task, side, documents, counted[how])


def _of_side(
    task: Task, side: _Side, documents: Sequence[Document], every: Measured
) -> Iterator[Encoded]:
    stream, _ = side.kind
    sure = every.exact and stream.where.max_norm_ratio is None
    read = sum(one.lengths[0] for one in documents)
    for sae, _ in sorted(side.whole, key=str):
        if _sequence(task, sae):
            yield Encoded(side.model, sae, read, exact=True)
        else:
            yield Encoded(side.model, sae, every.tokens, sure)
    for (sae, _), _ in sorted(side.some, key=str):
        yield Encoded(side.model, sae, every.tokens, exact=False)
    for sae, times, selected in side.anew:
        yield Encoded(side.model, sae, times * every.tokens, sure and not selected)


def _sequence(task: Task, sae: str) -> bool:
    return task.sae_facts(sae).needs_sequence


def _shared(task: Task, uses: Sequence[Use]) -> Mapping[Source, set[_Sae]]:
    """By source, the SAEs that streams with different filters have encoded: then of all tokens."""
    filters: dict[tuple[Source, _Sae], set[Where]] = {}
    for use in uses:
        for one in use.sources:
            for sae in use.job.encoded(task):
                filters.setdefault((one, sae), set()).add(use.stream.where)
    found: dict[Source, set[_Sae]] = {}
    for (one, sae), wheres in filters.items():
        if len(wheres) > 1:
            found.setdefault(one, set()).add(sae)
    return found


def _wanted(task: Task, use: Use) -> Mapping[_Sae, Encodes]:
    """What a job has encoded of a stream, by SAE and the site that it reads."""
    job = use.job
    if isinstance(job, ReductionJob):
        options = [instance.options for instance in job.instances]
        return {
            (sae, task.sae_site(sae)): options[0].encodes(task, use.stream.name, sae)
            for sae in job.reads.saes
        }
    if not isinstance(job, MetricJob) or job.target.sae is None:
        return {}
    entry = (task.preflight if job.preflight else task.metrics)[job.entry]
    own = entry.options.encodes()
    several = len(task.sae_sites(job.target.sae)) > 1
    site = task.sae_site(job.target.sae) if several else job.target.site
    sides = {"left": ("left",), "right": ("right",)}.get(job.side, own.sides)
    kept = tuple(side for side in own.sides if side in sides)
    return {(job.target.sae, site): Encodes(kept, own.anew)}


def _encoding(
    task: Task, sae: str, encodes: Encodes, sources: Sequence[Source]
) -> Iterator[Source]:
    """The sources of which an SAE encodes tokens; of an SAE of a pair the first stands for both."""
    if task.of_pair(sae):
        yield from sources[:1] if encodes.sides else ()
        return
    for side, one in zip(("left", "right"), sources, strict=False):
        if side in encodes.sides:
            yield one
