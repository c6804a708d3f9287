"""What the laws are tried on: completions that two judges have judged, and rates of two kinds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from harness.contract import Findings, Record
from harness.testing import check_analysis
from harness_analyses.agreement import Agreement
from harness_analyses.options import AgreementOptions, RejectionPairOptions
from harness_analyses.rejection_pair import RejectionPair

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


def rejection_pair(folder: Path) -> Iterator[partial[None]]:
    """Rates of three arms, one of which has one kind of prompts alone, and no rates at all."""
    options = RejectionPairOptions(
        toxic="unsafe", hard="safe", evaluator="judge", record="refusal_score.or_bench"
    )
    rates = {("unsafe", "none"): 0.9, ("safe", "none"): 0.2, ("unsafe", "v"): 0.1, ("safe", "v"): 0,
             ("unsafe", "alone"): 0.5}  # fmt: skip
    records = tuple(
        Record(
            "refusal_score.or_bench@1", rate, 20, "prompts", "share", ci=(0.0, 1.0),
            axes={"experiment": experiment, "data": experiment, "evaluator": "judge",
                  "direction": direction},
        )
        for (experiment, direction), rate in rates.items()
    )  # fmt: skip
    for found in (records, ()):
        yield partial(check_analysis, RejectionPair(options), Findings(records=found, seed=1))


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
