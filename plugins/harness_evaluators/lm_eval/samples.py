"""What the laws are tried on: the organism's questions, asked of the organism."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.contract import Example, Tools
from harness.testing import check_benchmark, organism
from harness_evaluators.lm_eval.benchmark import LmEval
from harness_evaluators.lm_eval.options import LmEvalOptions
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions


def samples(folder: Path) -> Iterator[partial[None]]:
    """Two domains, two questions of each."""
    model = TransformersBackend(TransformersOptions(path=str(organism() / "base"))).load()
    given = LmEvalOptions(
        tasks=("organism_law", "organism_math"),
        include_path=str(organism() / "data" / "questions"),
        apply_chat_template=False,
        num_fewshot=1,
        limit=2,
    )
    examples = [Example(str(n), text) for n, text in enumerate(("why", "why not now"))]
    yield partial(check_benchmark, LmEval(given), model, folder, examples, Tools(seed=5))
