"""Estimates the cost of a plan: goes through its stages as a run does, and adds up their work."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from harness.contract import BenchmarkOptions, Site, Stream
from harness.planning.cost.armed import armed, armed_counts
from harness.planning.cost.cuts import NUMBER, ranges, reply_bytes, shards
from harness.planning.cost.devices import CPU, find_device
from harness.planning.cost.downloads import PER_COMPLETION, downloads, files_bytes
from harness.planning.cost.earlier import Written
from harness.planning.cost.figures import Cost, Cut, Memory, Work
from harness.planning.cost.followed import followed, path_bytes, path_counts, path_flops
from harness.planning.cost.lengths import CHARACTERS, PromptLengths
from harness.planning.cost.network import Network, network
from harness.planning.counts import Counts, forward_counts
from harness.planning.plan import Plan
from harness.planning.steps import Generation, Job, MetricJob, Pass, Rendering, rendering
from harness.task.prompts import view_spec
from harness.task.task import Task
from harness.task.validate import references

PIECE = 2**26
"""Bytes of the pieces in which an encoder makes its products; twice while the active are picked."""
CLOSING = 5
"""About how many tokens a chat template writes behind what is asked."""
BLOCK = 32768
"""Tokens of a shard of documents that are packed into rows."""
VERDICT = 300
"""Bytes of a verdict, with what a judge has written."""
AROUND_JUDGED = 400
"""Tokens of instructions that a judging model is taken to read around a prompt and completion."""


def cost(
    planned: Plan,
    device: str | None = None,
    *,
    earlier: Mapping[str, Written] | None = None,
    prompts: PromptLengths | None = None,
) -> Cost:
    """Estimates the cost of a plan from configuration files, headers, `expect` and local data.

    `device`, a name of `harness.planning.cost.devices`, decides how many bytes a number of dtype
    `auto` has. `earlier` holds the completions that an earlier run has written, by experiment.
    Reads no weight and imports no torch. Raises DataError for local data that cannot be read,
    UsageError for an unknown device.
    """
    size = 4 if device is None or find_device(device).name == CPU else 2
    task = planned.task
    found = _Estimate(task, size, earlier or {}, prompts or PromptLengths(task))
    found.add_pass(planned.preflight, "preflight")
    for number, work in enumerate(planned.passes, 1):
        found.add_pass(work, f"activations, pass {number} of {len(planned.passes)}")
    for generation in planned.generations:
        found.add_generation(generation)
    weights = {name: net.weights for name, net in found.networks.items() if net.parameters}
    lengths = [e.expect.tokens for n, e in task.spec.experiments.items() if n not in found.earlier]
    return Cost(
        merged(found.work),
        Memory(weights, found.saes, *found.peak),
        found.disk,
        tuple(downloads(task)),
        None in lengths,
        grouped(found.unknown),
        grouped(found.notes),
        tuple(found.cuts),
    )


@dataclass
class _Estimate:
    """An estimate in the making: what the stages so far need, and what had to be assumed."""

    task: Task
    default_bytes: int
    earlier: Mapping[str, Written]
    prompts: PromptLengths
    work: list[Work] = field(default_factory=list)
    peak: tuple[int, str] = (0, "")
    disk: int = 0
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    networks: dict[str, Network] = field(default_factory=dict)
    saes: dict[str, int] = field(default_factory=dict)
    cuts: list[Cut] = field(default_factory=list)

    # ── Models, SAEs, prompts ──

    def _network(self, name: str) -> Network:
        if name not in self.networks:
            needs, facts = self.task.models[name].options.needs(), self.task.model_facts[name]
            if "activations" not in facts.capabilities and facts.parameters is None:
                self.notes.append(f"models.{name}: runs elsewhere: its time is not planned.")
                self.networks[name] = Network(block=0.0)
                return self.networks[name]
            found = network(f"models.{name}", facts, needs, self.default_bytes, self.notes)
            if isinstance(found, str):
                self.unknown.append(found)
                found = Network()
            self.networks[name] = found
        return self.networks[name]

    def _encoder(self, name: str) -> float:
        """Parameters of an SAE's encoder, d_in·d_sae; nan where one of them is unknown."""
        facts = self.task.sae_facts(name)
        if not facts.d_in or not facts.d_sae:
            self.unknown.append(
                f"saes.{name}: its d_in or d_sae is unknown offline; state both in expect."
            )
            return math.nan
        size = self.task.saes[name].options.needs().number_bytes or 4
        self.saes[name] = 2 * facts.d_in * facts.d_sae * size
        return facts.d_in * facts.d_sae

    def _lengths(
        self,
        view: str,
        data: str,
        limit: int | None = None,
        *,
        answered: bool = False,
        views: Sequence[str] = (),
    ) -> tuple[int, ...]:
        found = self.prompts.of(view, data, limit, answered=answered, views=views)
        if found is None:
            self.unknown.append(f"data.{data}: its number of rows is unknown offline; state limit.")
            return ()
        if found.note:
            self.notes.append(found.note)
        return found.tokens

    def _stands(self, size: int, stage: str) -> None:
        self.peak = max(self.peak, (size, stage), key=lambda found: found[0])

    # ── Passes ──

    def add_pass(self, work: Pass, stage: str) -> None:
        """Adds the forwards of a pass, and the encoders on their activations."""
        for which in work.renderings():
            before, ids, parts = len(self.work), 0, 0
            # A side that renders its own prompts reads other rows than the left one.
            for place, view in enumerate(which.views):
                jobs = [
                    (job, stream, self._models(stream, place))
                    for job in work.jobs
                    for stream in job.reads.streams
                    if rendering(stream) == which and stream.edit is None
                ]
                rows = _rows(self._lengths(view, which.data, work.limit, views=which.views), which)
                self._rendering(stage, rows, jobs)
                self._armed(stage, rows, _edited(work.jobs, which), place)
                ids += sum(rows)
                if place == 0:
                    size = BLOCK if which.pack is not None else self.task.spec.batch.shard
                    parts = shards(rows, size)
            if parts:
                done = [job for job in work.jobs if which in map(rendering, job.reads.streams)]
                reply = reply_bytes(self.task, done, self._width(which.view))
                self._cut(stage, parts, before, sent=NUMBER * ids, reply=reply)

    def _cut(self, stage: str, parts: int, before: int, **travels: int) -> None:
        """Adds the work since there were `before` pieces of it as one that is cut into parts."""
        self.cuts.append(Cut(stage, parts, tuple(self.work[before:]), **travels))

    def _width(self, view: str) -> int:
        return self.task.model_facts[view_spec(self.task.spec, view).model].d_model or 0

    def _models(self, stream: Stream, place: int) -> list[str]:
        """The models of a stream that read its rendering's first view, or at 1 its second."""
        views = [(stream.view, 0), (stream.right, int(stream.align == "span"))]
        read = [view for view, own in views if view is not None and own == place]
        return [view_spec(self.task.spec, view).model for view in read]

    def _rendering(
        self, stage: str, lengths: Sequence[int], jobs: Sequence[tuple[Job, Stream, list[str]]]
    ) -> None:
        """Adds the forwards over prompts of some lengths; each job with the models it reads."""
        task, size = self.task, self.task.spec.batch.activations
        batches = [lengths[i : i + size] for i in range(0, len(lengths), size)]
        read = [forward_counts(batch) for batch in batches]
        largest = max((counts.positions for counts in read), default=0)
        sites: dict[str, set[Site]] = {}
        encoders: dict[tuple[str, str, str, Site], None] = {}
        for job, stream, models in jobs:
            # The last block is the deepest site: logits go through all of them.
            end = [task.end(models[0])] if job.reads.logits and models else []
            for model in models:
                encoded = chain.from_iterable(map(task.sae_sites, job.reads.saes))
                paths = (path.site for path in job.reads.paths)
                needs = (*job.reads.sites, *encoded, *end, *paths)
                sites.setdefault(model, set()).update(needs)
            side = job.side if isinstance(job, MetricJob) else "pair"
            some = {"left": models[:1], "right": models[1:]}.get(side, models)
            for sae, site in job.encoded(task):
                # An SAE of a pair reads both sides at once.
                own = models[:1] if task.of_pair(sae) else some
                encoders.update({(model, stream.tokens, sae, site): None for model in own})
        every = sum(lengths) - len(lengths)
        # An answer is at most all of its document; a prompt is closed with few tokens.
        measured = {"last": len(lengths), "all": every, "answer": every}
        measured["closing"] = min(every, CLOSING * len(lengths))
        encoding = dict.fromkeys(sites, 0.0)
        pieces = 0
        for model, tokens, sae, _ in encoders:
            encoding[model] += 2.0 * self._encoder(sae) * measured[tokens]
            pieces = max(pieces, 2 * min(PIECE, 4 * (task.sae_facts(sae).d_sae or 0) * largest))
        counts = sum(read, Counts())
        pairs = sum(len(b) * max(b) * (max(b) + 1) // 2 for b in batches)
        held, forward = 0, 0
        for model, wanted in sites.items():
            if not wanted or not batches:
                continue
            net, more = self._network(model), encoding[model]
            depth = net.depth(wanted)
            flops, blocks = net.flops(counts.positions, pairs, depth), counts.forwards * depth
            moved = counts.forwards * net.block * depth * net.number_bytes
            # The padded activations of each site, and the measured ones among them.
            held += sum(2 * largest * net.at(site) * net.number_bytes for site in wanted)
            forward = max(forward, net.forward_bytes(largest))
            self.work.append(
                Work(stage, model, counts, flops, moved, blocks, more, net.number_bytes)
            )
        for one in followed(jobs):
            net, way = self._network(one.model), path_counts(one, counts)
            flops, blocks = path_flops(one, net, counts, pairs), way.forwards * net.layers
            moved = way.forwards * net.weights
            forward = max(forward, path_bytes(one, net, largest))
            self.work.append(
                Work(stage, one.model, way, flops, moved, blocks, number_bytes=net.number_bytes)
            )
        self._stands(held + max(forward, pieces), stage)

    def _armed(
        self, stage: str, lengths: Sequence[int], jobs: Sequence[tuple[Job, Stream]], place: int
    ) -> None:
        """Adds the forwards under the edits of streams: at most, since directions that come out
        undefined are not tried."""
        task, size = self.task, self.task.spec.batch.activations
        found = armed((stream for _, stream in jobs), place)
        batches = [lengths[i : i + size] for i in range(0, len(lengths), size)]
        if not batches or not (found.arms or found.beside):
            return
        reads = [job.reads for job, _ in jobs]
        pairs = sum(len(b) * max(b) * (max(b) + 1) // 2 for b in batches)
        for view, arms in (*found.arms.items(), *((view, 1) for view in sorted(found.beside))):
            model = task.spec.views[view].model
            logits = [task.end(model)] if any(one.logits for one in reads) else []
            saes = {sae for one in reads for sae in one.saes}
            encoded = chain.from_iterable(map(task.sae_sites, sorted(saes)))
            wanted = {*logits, *encoded, *(site for one in reads for site in one.sites)}
            net, counts = self._network(model), armed_counts(batches, arms, size)
            depth = net.depth(wanted)
            more = sum(2.0 * self._encoder(sae) * counts.tokens for sae in sorted(saes))
            self.work.append(
                Work(
                    stage,
                    model,
                    counts,
                    net.flops(counts.positions, arms * pairs, depth),
                    counts.forwards * net.block * depth * net.number_bytes,
                    counts.forwards * depth,
                    more,
                    net.number_bytes,
                )
            )
            most = max(max(size, len(b)) * max(b) for b in batches)
            self._stands(net.forward_bytes(most), stage)

    # ── Completions and verdicts ──

    def add_generation(self, work: Generation) -> None:
        """Adds the benchmarks of an experiment, its completions, and their verdicts."""
        task, spec, arms = self.task, self.task.spec.experiments[work.experiment], len(work.arms)
        model = task.spec.views[spec.view].model
        judges = []
        for name in spec.evaluators:
            options: Any = task.evaluators[name].options
            if isinstance(options, BenchmarkOptions):
                self._benchmark(name, f"benchmark, {work.experiment}, {name}", model, options, arms)
            else:
                judges.append((f"verdicts, {work.experiment}, {name}", options))
        if spec.data is None:
            return
        lengths = self._lengths(spec.view, spec.data, answered=True)
        written = self.earlier.get(work.experiment, Written([], spec.expect.distinct))
        earlier = sorted(written.lengths)
        most, context = spec.generation.max_new_tokens, task.model_facts[model].context
        mean = sum(earlier) / len(earlier) if earlier else float(spec.expect.tokens or most)
        batches = []
        for rows, width in self._batches(lengths, arms):
            room = context - width + 1 if context else most
            longest = longest_of(earlier, rows) if earlier else most
            batches.append((rows, width, max(1, min(most, room, longest))))
        rows, stage = len(lengths) * arms, f"completions, {work.experiment}"
        counts = Counts(0, rows, sum(lengths) * arms, rows, round(rows * mean))
        before = len(self.work)
        self._writing(stage, model, counts, batches)
        returned = rows * PER_COMPLETION + round(rows * CHARACTERS * mean)
        if batches:
            ids = NUMBER * sum(lengths) * arms
            self._cut(stage, len(batches), before, sent=ids, returned=returned)
        text = sum(lengths) / max(1, len(lengths)) + mean
        self.disk += files_bytes(rows, round(CHARACTERS * text))
        for stage, options in judges:
            for judge in references(options, "models"):
                self._verdicts(stage, judge, round(rows * written.distinct), round(text), options)

    def _benchmark(
        self, name: str, stage: str, model: str, options: BenchmarkOptions, arms: int
    ) -> None:
        """Adds the prompts of a benchmark; how long they are, only the benchmark knows."""
        prompts = options.forwards()
        if prompts is None:
            self.unknown.append(f"evaluators.{name}: its prompts are not known beforehand.")
            return
        before = len(self.work)
        self.work.append(Work(stage, model, Counts(prompts=prompts * arms), math.nan, 0.0, 0))
        self._cut(stage, arms, before)
        self.notes.append(f"evaluators.{name}: the tokens of a benchmark are not planned.")

    def _batches(self, lengths: Sequence[int], arms: int) -> Iterator[tuple[int, int]]:
        """Rows and longest prompt of each batch: the arm without edits by itself, then the rest,
        prompts of like length together."""
        for together in (1, arms - 1):
            rows = len(lengths) * together
            for start, end in ranges(rows, self.task.spec.batch.generation):
                yield end - start, lengths[(end - 1) // together]

    def _verdicts(self, stage: str, model: str, rows: int, text: int, options: Any) -> None:
        """Adds the verdicts of a model, at their longest, for each prompt with its completion.

        Both have `text` tokens together; the instructions around them come on top.
        """
        around = options.around()
        width = text + (AROUND_JUDGED if around is None else self.prompts.text(model, around))
        if around is None:
            self.notes.append(
                f"models.{model}: taken to judge within {AROUND_JUDGED} tokens of instructions."
            )
        most = options.writes()
        batches = [(end - start, width, most) for start, end in ranges(rows, options.batch)]
        before = len(self.work)
        self._writing(stage, model, Counts(0, rows, rows * width, rows, rows * most), batches)
        if batches:
            sent, returned = rows * text * CHARACTERS, rows * VERDICT
            self._cut(stage, len(batches), before, sent=sent, returned=returned)

    def _writing(
        self, stage: str, model: str, counts: Counts, batches: Iterable[tuple[int, int, int]]
    ) -> None:
        """Adds batches of completions: their rows, longest prompt, and steps until the last row
        has ended. `counts` is what they come to, without forwards and positions."""
        net, flops, moved = self._network(model), 0.0, 0.0
        for rows, width, steps in batches:
            reach = width + steps - 1
            positions = rows * reach
            counts += Counts(steps, positions=positions)
            flops += net.flops(positions, positions * (reach + 1) // 2, net.layers, rows * steps)
            kept = rows * net.kept * (reach * (reach + 1) - width * (width + 1)) / 2
            moved += steps * net.weights + kept * net.number_bytes
            self._stands(net.generation_bytes(rows, width, steps), stage)
        blocks = counts.forwards * net.layers
        self.work.append(
            Work(stage, model, counts, flops, moved, blocks, number_bytes=net.number_bytes)
        )


def _edited(jobs: Iterable[Job], which: Rendering) -> list[tuple[Job, Stream]]:
    """The streams of a rendering that are read under an edit, each with its job."""
    return [
        (job, stream)
        for job in jobs
        for stream in job.reads.streams
        if stream.edit is not None and rendering(stream) == which
    ]


def merged(work: Iterable[Work]) -> tuple[Work, ...]:
    """Adds up work of the same stage and model."""
    found: dict[tuple[str, str], Work] = {}
    for one in work:
        key = (one.stage, one.model)
        found[key] = found[key] + one if key in found else one
    return tuple(found.values())


def grouped(notes: Iterable[str]) -> tuple[str, ...]:
    """Joins notes of the form `who: what` that say the same: `models.base, models.chat: …`."""
    found: dict[str, dict[str, None]] = {}
    for note in notes:
        who, _, what = note.partition(": ")
        found.setdefault(what, {})[who] = None
    return tuple(f"{', '.join(who)}: {what}" for what, who in found.items())


def longest_of(lengths: Sequence[int], rows: int) -> int:
    """The expected longest of `rows` completions drawn from `lengths`, in ascending order."""
    share, before = 0.0, 0.0
    for place, length in enumerate(lengths, 1):
        below = (place / len(lengths)) ** rows
        share += length * (below - before)
        before = below
    return max(1, round(share))


def _rows(lengths: Sequence[int], which: Rendering) -> tuple[int, ...]:
    """The rows that a rendering reads: as many prompts as its budget wants, packed where it is."""
    kept: list[int] = []
    total = 0
    for length in lengths:
        if which.budget is not None and total >= which.budget:
            break
        kept.append(length)
        total += length
    if which.pack is None:
        return tuple(kept)
    rows = [0]
    for length in kept:
        if rows[-1] and rows[-1] + length > which.pack:
            rows.append(0)
        rows[-1] += length
    return tuple(rows)
