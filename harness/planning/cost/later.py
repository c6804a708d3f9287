"""What analyses and labels take: their models stay in memory, and some of them read prompts."""

from __future__ import annotations

from harness.contract import Asked
from harness.planning.cost.cuts import ranges
from harness.planning.cost.figures import Load, Work
from harness.planning.cost.tally import Tally
from harness.planning.counts import Counts
from harness.task.validate import references


def add_later(tally: Tally) -> None:
    """Adds the models that analyses and labels name, and what analyses say that these read."""
    for entry in tally.task.labels.values():
        for model in references(entry.options, "models"):
            tally.network(model)
    for name, many in tally.task.analyses.items():
        for found in many:
            for model in references(found.options, "models"):
                tally.network(model)
            for model, asked in found.options.asked(tally.task).items():
                _reading(tally, f"analysis, {name}", model, asked)


def _reading(tally: Tally, stage: str, model: str, asked: Asked) -> None:
    """Adds forwards over prompts, with the logits of every token of theirs."""
    net, width = tally.network(model), tally.prompts.text(model, asked.text)
    counts, flops, moved, load = Counts(), 0.0, 0.0, Load()
    for start, end in ranges(asked.prompts, asked.batch):
        rows = end - start
        positions = rows * width
        pairs = positions * (width + 1) // 2
        counts += Counts(1, rows, positions, positions=positions)
        flops += net.flops(positions, pairs, net.layers, positions)
        load += Load(positions, pairs, positions).through(net.layers)
        moved += net.weights
        logits = positions * net.vocabulary * (net.number_bytes + 4)
        tally.stands(net.forward_bytes(positions) + logits, stage)
    blocks = counts.forwards * net.layers
    tally.work.append(
        Work(stage, model, counts, flops, moved, blocks, number_bytes=net.number_bytes, load=load)
    )
