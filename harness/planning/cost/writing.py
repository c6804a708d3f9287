"""What completions take, their verdicts, and benchmarks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from harness.contract import BenchmarkOptions
from harness.planning.cost.cuts import NUMBER, ranges
from harness.planning.cost.downloads import PER_COMPLETION, files_bytes
from harness.planning.cost.earlier import Written
from harness.planning.cost.figures import Load, Work
from harness.planning.cost.lengths import CHARACTERS
from harness.planning.cost.tally import Tally
from harness.planning.counts import Counts
from harness.planning.steps import Generation
from harness.task.expect_spec import ExpectBenchmark
from harness.task.validate import references

VERDICT = 300
"""Bytes of a verdict, with what a judge has written."""
AROUND_JUDGED = 400
"""Tokens of instructions that a judging model is taken to read around a prompt and completion."""


def add_generation(tally: Tally, work: Generation) -> None:
    """Adds the benchmarks of an experiment, its completions, and their verdicts."""
    task, spec, arms = tally.task, tally.task.spec.experiments[work.experiment], len(work.arms)
    model = task.spec.views[spec.view].model
    judges = []
    for name in spec.evaluators:
        options: Any = task.evaluators[name].options
        if isinstance(options, BenchmarkOptions):
            stage = f"benchmark, {work.experiment}, {name}"
            positions = _benchmark(tally, name, stage, model, options, arms)
            _edits(tally, work, stage, model, positions)
        else:
            judges.append((f"verdicts, {work.experiment}, {name}", options))
    if spec.data is None:
        return
    lengths = tally.lengths(spec.view, spec.data, answered=True)
    written = tally.earlier.get(work.experiment, Written([], spec.expect.distinct))
    earlier = sorted(written.lengths)
    most, context = spec.generation.max_new_tokens, task.model_facts[model].context
    mean = sum(earlier) / len(earlier) if earlier else float(spec.expect.tokens or most)
    mean = min(mean, most)
    batches = []
    for rows, width in _batches(tally, lengths, arms):
        room = context - width + 1 if context else most
        longest = longest_of(earlier, rows) if earlier else most
        batches.append((rows, width, max(1, min(most, room, longest))))
    rows, stage = len(lengths) * arms, f"completions, {work.experiment}"
    counts = Counts(0, rows, sum(lengths) * arms, rows, round(rows * mean))
    before = len(tally.work)
    _edits(tally, work, stage, model, _writing(tally, stage, model, counts, batches))
    returned = rows * PER_COMPLETION + round(rows * CHARACTERS * mean)
    if batches:
        ids = NUMBER * sum(lengths) * arms
        tally.cut(stage, len(batches), before, sent=ids, returned=returned)
    text = sum(lengths) / max(1, len(lengths)) + mean
    tally.disk += files_bytes(rows, round(CHARACTERS * text))
    for stage, options in judges:
        for judge in references(options, "models"):
            _verdicts(tally, stage, judge, round(rows * written.distinct), round(text), options)


def _benchmark(
    tally: Tally, name: str, stage: str, model: str, options: BenchmarkOptions, arms: int
) -> int:
    """Adds the prompts of a benchmark, as its options or the task's `expect` tell; returns the
    positions that they take."""
    spec, asked = tally.task.spec.evaluators.get(name), options.asked()
    expect = spec.expect if spec is not None else ExpectBenchmark()
    known = asked.prompts if asked else options.forwards()
    prompts = expect.prompts or known
    if prompts is None:
        tally.unknown.append(
            f"evaluators.{name}: its prompts are not known beforehand; state expect, such as "
            "{ prompts = 1000, tokens = 500, writes = 0 }."
        )
        return 0
    tokens = expect.tokens or (tally.prompts.text(model, asked.text) if asked else None)
    if tokens is not None:
        told = asked.writes if asked else 0
        writes = told if expect.writes is None else expect.writes
        sizes = (prompts * arms, tokens, writes, asked.batch if asked else options.batch)
        return _asking(tally, name, stage, model, sizes, arms)
    before = len(tally.work)
    tally.work.append(Work(stage, model, Counts(prompts=prompts * arms), math.nan, 0.0, 0))
    tally.cut(stage, arms, before)
    tally.notes.append(f"evaluators.{name}: the tokens of a benchmark are not planned.")
    return 0


def _asking(
    tally: Tally, name: str, stage: str, model: str, sizes: tuple[int, int, int, int], arms: int
) -> int:
    """Adds prompts of a benchmark, in batches: how many of all arms, of how many tokens, how many
    they write, and how many stand in a batch."""
    rows, tokens, writes, batch = sizes
    before = len(tally.work)
    batches = [(end - start, tokens, max(1, writes)) for start, end in ranges(rows, batch)]
    written = (rows, rows * writes) if writes else (0, 0)
    positions = _writing(tally, stage, model, Counts(0, rows, rows * tokens, *written), batches)
    tally.work[-1] = replace(tally.work[-1], asked=arms)
    tally.cut(stage, arms, before)
    tally.notes.append(
        f"evaluators.{name}: {rows // arms:,} prompts for each arm, taken to be of {tokens:,} "
        f"tokens and to write {writes:,}, the most they can; a run's usage has none of them."
    )
    return positions


def _edits(tally: Tally, work: Generation, stage: str, model: str, positions: int) -> None:
    """Adds what edits let an SAE encode: of each position computed under them, at most."""
    task, spec = tally.task, tally.task.spec.experiments[work.experiment]
    entry = task.interventions.get(work.experiment)
    if entry is None or not entry.options.on_sae:
        return
    for name in spec.directions:
        reads = task.direction(name).reads(task)
        sae = entry.options.own_sae() or next(iter(reads.saes), None)
        if sae is None:
            continue
        arms = sum(arm.direction == name for arm in work.arms)
        times = entry.options.encodes(of_pair=task.of_pair(sae))
        tokens = times * positions * arms // len(work.arms)
        size = tally.encoder(sae)
        tally.work.append(
            Work(
                stage,
                model,
                Counts(),
                0.0,
                0.0,
                0,
                size.flops * tokens,
                tally.network(model).number_bytes,
                encodes={sae: tokens},
                at_most=frozenset([sae]),
                latents=float(size.latents * tokens),
            )
        )


def _batches(tally: Tally, lengths: Sequence[int], arms: int) -> Iterator[tuple[int, int]]:
    """Rows and longest prompt of each batch: the arm without edits by itself, then the rest,
    prompts of like length together."""
    for together in (1, arms - 1):
        rows = len(lengths) * together
        for start, end in ranges(rows, tally.task.spec.batch.generation):
            yield end - start, lengths[(end - 1) // together]


def _verdicts(tally: Tally, stage: str, model: str, rows: int, text: int, options: Any) -> None:
    """Adds the verdicts of a model, at their longest, for each prompt with its completion.

    Both have `text` tokens together; the instructions around them come on top.
    """
    around = options.around()
    width = text + (AROUND_JUDGED if around is None else tally.prompts.text(model, around))
    if around is None:
        tally.notes.append(
            f"models.{model}: taken to judge within {AROUND_JUDGED} tokens of instructions."
        )
    most = options.writes()
    batches = [(end - start, width, most) for start, end in ranges(rows, options.batch)]
    before = len(tally.work)
    _writing(tally, stage, model, Counts(0, rows, rows * width, rows, rows * most), batches)
    if batches:
        sent, returned = rows * text * CHARACTERS, rows * VERDICT
        tally.cut(stage, len(batches), before, sent=sent, returned=returned)


def _writing(
    tally: Tally, stage: str, model: str, counts: Counts, batches: Iterable[tuple[int, int, int]]
) -> int:
    """Adds batches of completions: their rows, longest prompt, and steps until the last row
    has ended. `counts` is what they come to, without forwards and positions; returns these."""
    net, flops, moved, load = tally.network(model), 0.0, 0.0, Load()
    for rows, width, steps in batches:
        reach = width + steps - 1
        positions = rows * reach
        counts += Counts(steps, positions=positions)
        pairs = positions * (reach + 1) // 2
        flops += net.flops(positions, pairs, net.layers, rows * steps)
        before, after = rows * width * (width + 1) / 2, rows * (steps - 1) * (width + steps / 2)
        load += Load(positions, before, rows * steps, after, steps).through(net.layers)
        kept = rows * net.kept * (reach * (reach + 1) - width * (width + 1)) / 2
        moved += steps * net.weights + kept * net.number_bytes
        tally.stands(net.generation_bytes(rows, width, steps), stage)
    blocks = counts.forwards * net.layers
    tally.work.append(
        Work(stage, model, counts, flops, moved, blocks, number_bytes=net.number_bytes, load=load)
    )
    return counts.positions


def longest_of(lengths: Sequence[int], rows: int) -> int:
    """The expected longest of `rows` completions drawn from `lengths`, in ascending order."""
    share, before = 0.0, 0.0
    for place, length in enumerate(lengths, 1):
        below = (place / len(lengths)) ** rows
        share += length * (below - before)
        before = below
    return max(1, round(share))
