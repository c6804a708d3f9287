"""What the laws are tried on: completions that two judges have judged."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from harness.contract import Findings
from harness.testing import check_analysis
from harness_analyses.agreement import Agreement
from harness_analyses.options import AgreementOptions

VERDICTS = ((True, True), (True, False), (False, False), (None, True), (True, 0.5))


def agreement(folder: Path) -> Iterator[partial[None]]:
    """Three experiments on twenty prompts, and one of them alone."""
    judges = {
        "left": {"evaluator": "words", "score": "refusal"},
        "right": {"evaluator": "judge", "score": "safe"},
    }
    for more in ({}, {"experiments": ["x1"]}):
        analysis = Agreement(AgreementOptions.model_validate({**judges, **more}))
        rows = [_row(number) for number in range(80)]
        yield partial(check_analysis, analysis, Findings(tables={"completions": rows}, seed=1))


def _row(number: int) -> dict[str, Any]:
    left, right = VERDICTS[number * number % 5]
    return {
        "experiment": f"x{number % 3}",
        "direction": "none",
        "example": str(number % 20),
        "text": f"question {number % 20}",
        "prompt": "p",
        "completion": f"answer {number}",
        "tokens": 1,
        "stopped": True,
        "verdicts": {"words": {"refusal": left}, "judge": {"safe": right, "note": "hm"}},
    }
