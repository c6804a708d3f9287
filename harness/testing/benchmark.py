"""Laws that every benchmark keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from harness.contract import Benchmark, Example, Model, Outcome, Prompt, Tools
from harness.testing.support.laws import law
from harness.testing.support.models import logits_of
from harness.testing.support.outcomes import check_outcome, same


def check_benchmark(
    benchmark: Benchmark,
    model: Model,
    folder: Path,
    examples: Sequence[Example],
    tools: Tools | None = None,
) -> None:
    """Raises AssertionError, naming the law, where a benchmark breaks one.

    `folder` is an empty one; `examples` are texts on which the model is looked at before and
    after.

    Laws: something is measured · an Outcome comes out · no directions · records are complete and
    unique · tables have rows of plain values · what is kept in the folder gives the same ·
    another folder gives the same · the model is left as it was.
    """
    tools = tools or Tools()
    tokens = model.render(examples, Prompt())
    before = logits_of(model, tokens)

    def run(name: str) -> Outcome:
        where = folder / name
        where.mkdir(parents=True, exist_ok=True)
        outcome = benchmark.run(model, where, tools)
        check_outcome(outcome)
        return outcome

    first = run("first")
    law(bool(first.records), "something is measured", "there is no record")
    same("what is kept in the folder gives the same", run("first"), first, 0)
    same("another folder gives the same", run("second"), first, 1e-6)
    untouched = torch.equal(before, logits_of(model, tokens))
    law(untouched, "the model is left as it was", "its logits are different afterwards")
