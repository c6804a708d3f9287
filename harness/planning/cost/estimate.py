"""Estimates the cost of a plan: goes through its stages as a run does, and adds up their work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.contract import BenchmarkOptions, Ref, Site, Stream
from harness.planning.cost.devices import CPU, find_device
from harness.planning.cost.downloads import downloads, files_bytes
from harness.planning.cost.earlier import Written
from harness.planning.cost.figures import Cost, Memory, Work
from harness.planning.cost.lengths import CHARACTERS, PromptLengths
from harness.planning.cost.network import Network, network
from harness.planning.counts import Counts, forward_counts
from harness.planning.steps import Generation, Job, MetricJob, Pass, Plan, Rendering, rendering
from harness.task.validate import marks

PIECE = 2**26
"""Bytes of the pieces in which an encoder makes its products; twice while the active are picked."""
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
    return Estimate(planned, size, earlier or {}, prompts or PromptLengths(planned.task)).run()


@dataclass
class Estimate:
    """An estimate in the making: what the stages so far need, and what had to be assumed."""

    planned: Plan
    default_bytes: int
    earlier: Mapping[str, Written]
    prompts: PromptLengths
    work: list[Work] = field(default_factory=list)
    peak: tuple[int, str] = (0, "")
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    networks: dict[str, Network | None] = field(default_factory=dict)
    saes: dict[str, int | None] = field(default_factory=dict)
    completions: list[tuple[int, int]] = field(default_factory=list)
    """Numbers of completions, with the characters of each."""

    def run(self) -> Cost:
        """Goes through all stages of the plan and adds everything up."""
        self._pass(self.planned.preflight, "preflight")
        passes = self.planned.passes
        for number, work in enumerate(passes, 1):
            self._pass(work, f"activations, pass {number} of {len(passes)}")
        for generation in self.planned.generations:
            self._completions(generation)
        weights = {name: net.weights for name, net in self.networks.items() if net}
        saes = {name: size for name, size in self.saes.items() if size}
        task = self.planned.task
        return Cost(
            merged(self.work),
            Memory(weights, saes, *self.peak),
            files_bytes(self.completions),
            tuple(downloads(task)),
            any(map(self._bound, self.planned.generations)),
            grouped(self.unknown),
            grouped(self.notes),
        )

    # ── Models, SAEs, prompts ──

    def _network(self, name: str) -> Network | None:
        if name not in self.networks:
            task = self.planned.task
            needs = task.models[name].options.needs()
            facts = task.model_facts[name]
            found = network(f"models.{name}", facts, needs, self.default_bytes, self.notes)
            if isinstance(found, str):
                self.unknown.append(found)
            self.networks[name] = None if isinstance(found, str) else found
        return self.networks[name]

    def _encoder(self, name: str) -> int | None:
        """Parameters of an SAE's encoder, d_in·d_sae; None where one of them is unknown."""
        facts, task = self.planned.task.sae_facts(name), self.planned.task
        known = facts.d_in * facts.d_sae if facts.d_in and facts.d_sae else None
        if known is None:
            self.unknown.append(
                f"saes.{name}: its d_in or d_sae is unknown offline; state both in expect."
            )
        size = task.saes[name].options.needs().number_bytes or 4
        self.saes[name] = 2 * known * size if known else None
        return known

    def _lengths(self, view: str, data: str, limit: int | None = None) -> tuple[int, ...]:
        found = self.prompts.of(view, data, limit)
        if found is None:
            self.unknown.append(f"data.{data}: its number of rows is unknown offline; state limit.")
            return ()
        if found.note:
            self.notes.append(found.note)
        return found.tokens

    def _model_of(self, view: str) -> str:
        return view[1:] if view.startswith("@") else self.planned.task.spec.views[view].model

    def _stands(self, size: float, stage: str) -> None:
        self.peak = max(self.peak, (int(size), stage), key=lambda found: found[0])

    # ── Passes ──

    def _pass(self, work: Pass, stage: str) -> None:
        for which in work.renderings():
            jobs = [
                (job, stream)
                for job in work.jobs
                for stream in job.reads.streams
                if rendering(stream) == which
            ]
            # A side that renders its own prompts reads other rows than the left one.
            for own in (False, True) if which.right else (False,):
                self._side_of(which, own, jobs, stage, work.limit)

    def _side_of(
        self,
        which: Rendering,
        own: bool,
        jobs: Sequence[tuple[Job, Stream]],
        stage: str,
        limit: int | None,
    ) -> None:
        task = self.planned.task
        sites: dict[str, dict[Site, None]] = {}
        encoders: dict[tuple[str, str, str, Site], None] = {}
        for job, stream in jobs:
            pair = [(stream.view, False), (stream.right, stream.align == "span")]
            sides = [self._model_of(v) for v, its in pair if v is not None and its == own]
            # The last block is the deepest site: logits go through all of them.
            end = [task.end(sides[0])] if job.reads.logits and sides else []
            saes = [task.sae_site(sae) for sae in job.reads.saes]
            for model in sides:
                needs = (*job.reads.sites, *saes, *end)
                sites.setdefault(model, {}).update(dict.fromkeys(needs))
            for sae, site in job.encoded(task):
                some = {"left": sides[:1], "right": sides[1:]}.get(_side(job), sides)
                encoders.update({(m, stream.tokens, sae, site): None for m in some})
        view = which.right if own and which.right else which.view
        lengths = self._lengths(view, which.data, limit)
        self._rendering(stage, _rows(lengths, which), sites, encoders)

    def _rendering(
        self,
        stage: str,
        lengths: Sequence[int],
        sites: Mapping[str, Mapping[Site, None]],
        encoders: Mapping[tuple[str, str, str, Site], None],
    ) -> None:
        size = self.planned.task.spec.batch.activations
        batches = [lengths[i : i + size] for i in range(0, len(lengths), size)]
        largest = max((len(batch) * max(batch) for batch in batches), default=0)
        measured = {"last": len(lengths), "all": sum(lengths) - len(lengths)}
        encoding: dict[str, float | None] = {}
        pieces = 0
        for model, tokens, sae, _ in encoders:
            encoder, before = self._encoder(sae), encoding.get(model, 0.0)
            known = encoder is not None and before is not None
            encoding[model] = before + 2.0 * encoder * measured[tokens] if known else None  # type: ignore[operator]
            d_sae = self.planned.task.sae_facts(sae).d_sae or 0
            pieces = max(pieces, 2 * min(PIECE, 4 * d_sae * largest))
        held, forward = 0, 0
        for model, wanted in sites.items():
            if not wanted or not batches:
                continue
            counts = sum(map(forward_counts, batches), Counts())
            pairs = sum(len(b) * max(b) * (max(b) + 1) // 2 for b in batches)
            net, flops, moved, blocks = self._network(model), None, 0.0, 0
            if net:
                depth = net.depth(wanted)
                flops = net.flops(counts.positions, pairs, depth)
                moved = counts.forwards * net.block * depth * net.number_bytes
                blocks = counts.forwards * depth
                # The padded activations of each site, and the measured ones among them.
                held += sum(2 * largest * net.at(site) * net.number_bytes for site in wanted)
                forward = max(forward, net.forward_bytes(largest))
            more = encoding.get(model, 0.0)
            size_of = net.number_bytes if net else 4
            self.work.append(Work(stage, model, counts, flops, moved, blocks, more, size_of))
        self._stands(held + max(forward, pieces), stage)

    # ── Completions and verdicts ──

    def _bound(self, work: Generation) -> bool:
        """Whether completions are planned at their longest, since nothing tells their length."""
        expect = self.planned.task.spec.experiments[work.experiment].expect
        return work.experiment not in self.earlier and expect.tokens is None

    def _completions(self, work: Generation) -> None:
        task = self.planned.task
        spec = task.spec.experiments[work.experiment]
        model = self._model_of(spec.view)
        self._benchmarks(work, model)
        if spec.data is None:
            return
        lengths = self._lengths(spec.view, spec.data)
        written = self.earlier.get(work.experiment)
        earlier = sorted(written.lengths) if written else []
        most, context = spec.generation.max_new_tokens, task.model_facts[model].context
        mean = sum(earlier) / len(earlier) if earlier else float(spec.expect.tokens or most)
        stage, net = f"completions, {work.experiment}", self._network(model)
        counts, flops, moved = Counts(), 0.0, 0.0
        for rows, width in self._batches(lengths, len(work.arms)):
            steps = min(most, context - width + 1) if context else most
            steps = min(steps, longest_of(earlier, rows)) if earlier else steps
            reach = width + max(steps, 1) - 1
            counts += Counts(max(steps, 1), positions=rows * reach)
            if net:
                flops += net.flops(
                    rows * reach, rows * reach * (reach + 1) // 2, net.layers, rows * steps
                )
                kept = rows * net.kept * (reach * (reach + 1) - width * (width + 1)) / 2
                moved += steps * net.weights + kept * net.number_bytes
                self._stands(net.generation_bytes(rows, width, steps), stage)
        rows = len(lengths) * len(work.arms)
        counts += Counts(0, rows, sum(lengths) * len(work.arms), rows, round(rows * mean))
        blocks = counts.forwards * net.layers if net else 0
        size = net.number_bytes if net else 4
        self.work.append(
            Work(stage, model, counts, flops if net else None, moved, blocks, number_bytes=size)
        )
        text = sum(lengths) / max(1, len(lengths)) + mean
        self.completions.append((rows, round(CHARACTERS * text)))
        distinct = written.distinct if written else spec.expect.distinct
        for name in spec.evaluators:
            options = task.evaluators[name].options
            if isinstance(options, BenchmarkOptions):
                continue
            for judge in self._judges(options):
                stage = f"verdicts, {work.experiment}, {name}"
                self._verdicts(stage, judge, round(rows * distinct), round(text), options)

    def _benchmarks(self, work: Generation, model: str) -> None:
        """Adds the prompts of benchmarks; how long they are, only the benchmark knows."""
        task = self.planned.task
        for name in task.spec.experiments[work.experiment].evaluators:
            options = task.evaluators[name].options
            if not isinstance(options, BenchmarkOptions):
                continue
            prompts = options.forwards()
            stage = f"benchmark, {work.experiment}, {name}"
            if prompts is None:
                self.unknown.append(f"evaluators.{name}: its prompts are not known beforehand.")
                continue
            counts = Counts(prompts=prompts * len(work.arms))
            self.work.append(Work(stage, model, counts, None, 0.0, 0))
            self.notes.append(f"evaluators.{name}: the tokens of a benchmark are not planned.")

    def _batches(self, lengths: Sequence[int], arms: int) -> Iterator[tuple[int, int]]:
        """Rows and longest prompt of each batch: the arm without edits by itself, then the rest,
        prompts of like length together."""
        size = self.planned.task.spec.batch.generation
        for together in (1, arms - 1):
            rows = len(lengths) * together
            for start in range(0, rows, size):
                end = min(rows, start + size)
                yield end - start, lengths[(end - 1) // together]

    def _judges(self, options: Any) -> Iterator[str]:
        for key, mark in marks(type(options)):
            if isinstance(mark, Ref) and mark.table == "models" and getattr(options, key):
                yield getattr(options, key)

    def _verdicts(self, stage: str, model: str, rows: int, text: int, options: Any) -> None:
        """Adds the verdicts of a model, one token for each prompt with its completion.

        Both have `text` tokens together; the instructions around them come on top.
        """
        around = options.around()
        width = text + (AROUND_JUDGED if around is None else self.prompts.text(model, around))
        if around is None:
            self.notes.append(
                f"models.{model}: taken to judge within {AROUND_JUDGED} tokens of instructions."
            )
        net, size = self._network(model), options.batch
        forwards = -(-rows // size)
        counts = Counts(forwards, rows, rows * width, rows, rows, rows * width)
        flops, moved, blocks = None, 0.0, 0
        if net:
            flops = net.flops(counts.positions, rows * width * (width + 1) // 2, net.layers, rows)
            moved, blocks = float(forwards * net.weights), forwards * net.layers
            self._stands(net.generation_bytes(min(rows, size), width, 1), stage)
        number_bytes = net.number_bytes if net else 4
        self.work.append(
            Work(stage, model, counts, flops, moved, blocks, number_bytes=number_bytes)
        )


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


def _side(job: Job) -> str:
    return job.side if isinstance(job, MetricJob) else "pair"


def _rows(lengths: Sequence[int], which: Rendering) -> tuple[int, ...]:
    """The rows that a rendering reads: as many prompts as its budget wants, packed where it is."""
    kept: list[int] = []
    for length in lengths:
        if which.budget is not None and sum(kept) >= which.budget:
            break
        kept.append(length)
    if which.pack is None:
        return tuple(kept)
    rows = [0]
    for length in kept:
        if rows[-1] and rows[-1] + length > which.pack:
            rows.append(0)
        rows[-1] += length
    return tuple(rows)
