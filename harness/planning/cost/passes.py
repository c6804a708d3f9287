"""What a pass takes: forwards, encoders on what they give, paths, edits, and memory meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from harness.contract import Site, Stream
from harness.planning.cost.armed import armed, armed_counts
from harness.planning.cost.cuts import NUMBER, reply_bytes
from harness.planning.cost.figures import Load, Work
from harness.planning.cost.followed import followed, path_bytes, path_counts, path_flops
from harness.planning.cost.reading import (
    Batches,
    Encoded,
    Read,
    Source,
    Use,
    batches_of,
    encoded,
    read_of,
    sites_of,
    source,
    uses_of,
    with_logits,
)
from harness.planning.cost.tally import Tally
from harness.planning.counts import Counts
from harness.planning.documents import Document
from harness.planning.steps import Job, Pass, Rendering, rendering
from harness.task.prompts import view_spec

PIECE = 2**26
"""Bytes of the pieces in which an encoder makes its products; twice while the active are picked."""


def add_pass(tally: Tally, work: Pass, stage: str) -> None:
    """Adds what a pass takes."""
    for which in work.renderings():
        found = tally.prompts.documents(which, work.limit)
        if found is None:
            tally.unknown.append(
                f"data.{which.data}: its number of rows is unknown offline; state limit."
            )
            continue
        tally.notes += found.notes
        batches = batches_of(tally.task, which, found.documents)
        if not batches.shards:
            continue
        _Rendered(tally, stage, work, which, found.documents, batches).add()


class _Rendered:
    """A rendering that is read in some stage."""

    def __init__(
        self,
        tally: Tally,
        stage: str,
        work: Pass,
        which: Rendering,
        documents: Sequence[Document],
        batches: Batches,
    ) -> None:
        self._tally, self._stage, self._which = tally, stage, which
        self._documents, self._batches = documents, batches
        self._read = [read_of(rows) for rows in batches.sides]
        self._jobs = [job for job in work.jobs if which in map(rendering, job.reads.streams)]

    def add(self) -> None:
        """Adds what it takes to read it."""
        tally, before = self._tally, len(self._tally.work)
        streams = [self._streams(job, edited=False) for job in self._jobs]
        self._plain(uses_of(tally.task, self._jobs, streams))
        for place in range(len(self._which.views)):
            self._armed(place)
        ids = sum(sum(one.lengths) for one in self._documents)
        model = view_spec(tally.task.spec, self._which.view).model
        reply = reply_bytes(tally.task, self._jobs, tally.task.model_facts[model].d_model or 0)
        tally.cut(self._stage, self._batches.shards, before, sent=NUMBER * ids, reply=reply)

    def _streams(self, job: Job, *, edited: bool) -> list[Stream]:
        return [
            stream
            for stream in job.reads.streams
            if rendering(stream) == self._which and (stream.edit is not None) == edited
        ]

    # ── As they are ──

    def _plain(self, uses: Sequence[Use]) -> None:
        tally, held, forward = self._tally, 0, 0
        encodes = [*encoded(tally.task, uses, self._documents, tally.prompts)]
        wanted = dict(sites_of(tally.task, uses))
        for one, sites in self._beside(wanted):
            wanted[one] = wanted.get(one, set()) | sites
        logits = with_logits(uses)
        updates = len(uses) * len(self._batches.sides[0])
        tokens = sum(one.lengths[0] for one in self._documents)
        width = tally.network(uses[0].sources[0].model).width if uses else 0
        for number, (one, sites) in enumerate(wanted.items()):
            if not sites:
                continue
            net, read = tally.network(one.model), self._read_by(one)
            counts, depth, pairs = read.counts, net.depth(sites), read.pairs
            ends = counts.positions if one in logits else 0
            tally.work.append(
                Work(
                    self._stage,
                    one.model,
                    counts,
                    net.flops(counts.positions, pairs, depth, ends),
                    counts.forwards * net.block * depth * net.number_bytes,
                    counts.forwards * depth,
                    number_bytes=net.number_bytes,
                    updates=0 if number else updates,
                    jobs=0 if number else len({id(use.job) for use in uses}),
                    values=0.0 if number else float(len(uses) * tokens * width),
                    load=replace(Load(counts.positions, pairs).through(depth), ends=ends),
                )
            )
            # The padded activations of each site, and the measured ones among them.
            held += sum(2 * read.largest * net.at(site) * net.number_bytes for site in sites)
            forward = max(forward, net.forward_bytes(read.largest))
            self._edit(one, counts.positions, counts.forwards)
        self._add_encoded(encodes)
        forward = max(forward, self._paths(uses))
        widest = max((tally.encoder(one.sae).latents for one in encodes), default=0)
        pieces = 2 * min(PIECE, 4 * widest * self._read[0].largest)
        tally.stands(held + max(forward, pieces), self._stage)

    def _read_by(self, one: Source) -> Read:
        """The batches that a source reads."""
        return self._read[int(one.own and len(self._read) > 1)]

    def _beside(self, wanted: Mapping[Source, set[Site]]) -> Iterator[tuple[Source, set[Site]]]:
        """The views that are read beside edited ones, once more, up to where the edit acts."""
        task = self._tally.task
        for one in [its for its in wanted if its.edited is not None]:
            view = one.edited or ""
            beside = task.edits[view].options.beside()
            if beside is not None:
                end = task.end(one.model)
                its = source(task, beside)
                yield (
                    replace(its, own=one.own, edited=f"{view} beside {beside}"),
                    {self._acts_at(view) or end},
                )

    def _acts_at(self, view: str) -> Site | None:
        """Where the edit of a view acts, as far as its direction tells."""
        task = self._tally.task
        edit = view_spec(task.spec, view).edit
        reads = task.direction(edit.direction).reads(task) if edit else None
        sites = [*reads.sites, *map(task.sae_site, reads.saes)] if reads else []
        return sites[0] if sites else None

    def _edit(self, one: Source, positions: int, calls: int) -> None:
        """Adds what an edit lets an SAE encode while a view is read."""
        task = self._tally.task
        entry = task.edits.get(one.edited or "")
        if entry is None or not entry.options.on_sae:
            return
        edit = view_spec(task.spec, one.edited or "").edit
        sae = entry.options.own_sae() or self._sae_of(edit.direction if edit else "")
        if sae is not None:
            times = entry.options.encodes(of_pair=task.of_pair(sae))
            self._add_encoded([Encoded(one.model, sae, times * positions, exact=False)])

    def _sae_of(self, direction: str) -> str | None:
        reads = self._tally.task.direction(direction).reads(self._tally.task)
        return next(iter(reads.saes), None)

    def _add_encoded(self, found: Iterable[Encoded]) -> None:
        tally, calls = self._tally, len(self._batches.sides[0])
        for one in found:
            size = tally.encoder(one.sae)
            tally.work.append(
                Work(
                    self._stage,
                    one.model,
                    Counts(),
                    0.0,
                    0.0,
                    0,
                    size.flops * one.tokens,
                    tally.network(one.model).number_bytes,
                    encodes={one.sae: one.tokens},
                    at_most=frozenset() if one.exact else frozenset([one.sae]),
                    encoders=4.0 * size.parameters * calls,
                    latents=float(size.latents * one.tokens),
                )
            )

    def _paths(self, uses: Sequence[Use]) -> int:
        """Adds the paths that jobs follow; returns the memory of a way back."""
        tally, whole = self._tally, self._read[0]
        read = [(use.job, use.stream, [one.model for one in use.sources]) for use in uses]
        counts, most = whole.counts, 0
        for one in followed(read):
            net, way = tally.network(one.model), path_counts(one, counts)
            flops, blocks = path_flops(one, net, counts, whole.pairs), way.forwards * net.layers
            moved = way.forwards * net.weights
            most = max(most, path_bytes(one, net, whole.largest))
            # A way back takes about as long as the forward there.
            times = flops / net.flops(counts.positions, whole.pairs, net.layers, counts.tokens)
            load = Load(counts.positions, whole.pairs, counts.tokens).through(net.layers, times)
            tally.work.append(
                Work(
                    self._stage,
                    one.model,
                    way,
                    flops,
                    moved,
                    blocks,
                    number_bytes=net.number_bytes,
                    load=load,
                )
            )
        return most

    # ── Under the edits of streams ──

    def _armed(self, place: int) -> None:
        """Adds the forwards under the edits of streams: at most, since directions that come out
        undefined are not tried."""
        tally, task = self._tally, self._tally.task
        edited = [(job, s) for job in self._jobs for s in self._streams(job, edited=True)]
        found = armed((stream for _, stream in edited), place)
        batches, size = self._batches.sides[place], task.spec.batch.activations
        if not (found.arms or found.beside):
            return
        reads = [job.reads for job, _ in edited]
        for view, arms in (*found.arms.items(), *((view, 1) for view in sorted(found.beside))):
            model = task.spec.views[view].model
            logits = [task.end(model)] if any(one.logits for one in reads) else []
            saes = sorted({sae for one in reads for sae in one.saes})
            encodes = chain.from_iterable(map(task.sae_sites, saes))
            wanted = {*logits, *encodes, *(site for one in reads for site in one.sites)}
            net, counts = tally.network(model), armed_counts(batches, arms, size)
            depth, pairs = net.depth(wanted), arms * self._read[place].pairs
            ends = counts.positions if logits else 0
            tally.work.append(
                Work(
                    self._stage,
                    model,
                    counts,
                    net.flops(counts.positions, pairs, depth, ends),
                    counts.forwards * net.block * depth * net.number_bytes,
                    counts.forwards * depth,
                    number_bytes=net.number_bytes,
                    updates=arms * len(batches) if view in found.arms else 0,
                    load=replace(Load(counts.positions, pairs).through(depth), ends=ends),
                )
            )
            self._add_encoded(Encoded(model, sae, counts.tokens, exact=False) for sae in saes)
            most = max(max(size, len(b)) * max(b) for b in batches)
            tally.stands(net.forward_bytes(most), self._stage)
