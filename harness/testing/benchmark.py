"""Laws that every benchmark keeps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from harness.contract import Benchmark, Example, Model, Outcome, Prompt, Tools
from harness.testing.evaluator import VERDICTS
from harness.testing.support.hooks import hooks_of
from harness.testing.support.laws import law, untried
from harness.testing.support.models import logits_of
from harness.testing.support.outcomes import check_outcome, same

SECONDS = 10
"""After so many, no further run is begun."""
MOST = 200
"""Runs that are made at most."""


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
    unique · tables have rows of plain values · what is kept in the folder gives the same · another
    folder gives the same (until 200 verdicts were given, or for 10 s) · the model is left as it
    was · no hook is left on the model.
    """
    tools = tools or Tools()
    tokens = model.render(examples, Prompt())
    before, hooks = logits_of(model, tokens), hooks_of(model)

    def run(name: str) -> Outcome:
        where = folder / name
        where.mkdir(parents=True, exist_ok=True)
        outcome = benchmark.run(model, where, tools)
        check_outcome(outcome)
        return outcome

    first = run("first")
    law(bool(first.records), "something is measured", "there is no record")
    same("what is kept in the folder gives the same", run("first"), first, 0)
    counted: Counter[str] = Counter()
    for record in first.records:
        counted[record.id] += record.n
    verdicts = max(counted.values())
    given, began = verdicts, time.monotonic()
    for number in range(1, MOST):
        same("another folder gives the same", run(f"again {number}"), first, 1e-9)
        given += verdicts
        if given >= VERDICTS or time.monotonic() - began > SECONDS:
            break
    if given < VERDICTS:
        what = f"{given} verdicts in {SECONDS} s; too few to find a benchmark that rarely wavers"
        untried(what, "another folder gives the same")
    untouched = torch.equal(before, logits_of(model, tokens))
    law(untouched, "the model is left as it was", "its logits are different afterwards")
    if hooks is None:
        untried("the model holds no torch module", "no hook is left on the model")
    else:
        now = hooks_of(model)
        what = f"{hooks} were on its modules before, {now} are afterwards"
        law(now == hooks, "no hook is left on the model", what)
