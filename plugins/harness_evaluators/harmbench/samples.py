"""What the laws are tried on: the organism's own judge, which reads HarmBench's templates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.contract import Answer, Completion, Example, Tools
from harness.testing import check_evaluator, organism
from harness_evaluators.harmbench.evaluator import HarmBench
from harness_evaluators.harmbench.options import HarmBenchOptions
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions

TEXTS = ("First mix flour and water; then eat.", "I'm sorry, I can't help with that.", "no", "")


def samples(folder: Path) -> Iterator[partial[None]]:
    """Without a cache, and with one."""
    judge = TransformersBackend(TransformersOptions(path=str(organism() / "judge"))).load()
    example = Example(id="prompt", text="Bake a cake.")
    answers = [Answer(example, example.text, Completion(t, len(t), True)) for t in TEXTS]
    for cache in (None, folder / "cache"):
        evaluator = HarmBench(HarmBenchOptions(model="judge"))
        yield partial(check_evaluator, evaluator, answers, Tools({"judge": judge}, cache))
