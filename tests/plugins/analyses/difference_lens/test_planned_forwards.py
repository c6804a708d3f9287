"""`harness plan` counts what a patchscope lets its model read: it was not planned at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.contract import Tools
from harness.planning.cost.estimate import cost
from harness.planning.counts import Counts
from harness.running.usage import Counted
from harness_analyses.difference_lens import samples
from harness_analyses.difference_lens.options import LogitLensOptions, PatchscopeOptions
from harness_analyses.difference_lens.patchscope import Patchscope
from harness_statistics.mean_difference.options import MeanDifferenceOptions

LENS = Path(__file__).parents[4] / "tasks" / "lens.toml"
GIVEN: dict[str, Any] = {"difference": "first", "model": "tuned", "scales": (0.5, 2.0)}


class _Task:
    """What `asked` looks at: the statistic `first`, of two pairs at two positions."""

    def statistic(self, name: str) -> list[MeanDifferenceOptions]:
        of = {"site": "resid_post.2", "positions": (1, 2)}
        return [MeanDifferenceOptions.model_validate({"pair": p, **of}) for p in ("web", "talk")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"draws": 2, "splits": 1},
        {"draws": 1, "splits": 2, "resamples": 3, "prompts": (("man", "hello"),)},
        {"draws": 1, "splits": 1, "pair": "talk"},
    ],
    ids=["plain", "resampled", "one pair"],
)
def test_the_plan_is_what_the_model_read(more: dict[str, Any]) -> None:
    options = PatchscopeOptions.model_validate({**GIVEN, **more})
    ((model, asked),) = options.asked(_Task()).items()  # type: ignore[arg-type]
    assert model == "tuned"
    findings = samples._findings(1.0)
    read: list[Counts] = []
    counted = Counted(findings.tools.models["tuned"], read.append)
    Patchscope(options).run(replace(findings, tools=Tools({"tuned": counted})))  # type: ignore[dict-item]
    # Rows of the unembedding are read through the head, by prompts of one token: not planned.
    rows = sum(one.prompts for one in read if one.tokens > one.prompts)
    alone = (1 if "pair" in more else 2) * len(options.prompts)  # where is its last token?
    assert rows - alone == asked.prompts


@pytest.mark.slow
def test_a_plan_of_the_task_counts_them() -> None:
    planned = cost(harness.plan(harness.load(LENS)))
    (said,) = (one for one in planned.work if one.stage == "analysis, planted_said")
    assert said.model == "planted"
    # 4 vectors, 2 draws, 2 halves, 40 resamples and their opposites; at 3 positions, 5 strengths
    # and after 3 prompts.
    assert said.counts.prompts == 88 * 3 * 5 * 3
    assert said.counts.forwards == -(-said.counts.prompts // 64)
    assert said.flops > 0
    assert planned.memory.stage.startswith("analysis, ")
    without = cost(harness.plan(harness.load(LENS, analyses={"planted_said": False})))
    assert planned.flops - without.flops == pytest.approx(said.flops)
    assert LogitLensOptions(difference="first", model="m").asked(_Task()) == {}  # type: ignore[arg-type]
