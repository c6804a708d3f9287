"""The benchmark of the overhead runs; its figures are not tested here, a machine is never alone."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "lm_eval_overhead.py"


@pytest.mark.slow
def test_the_benchmark_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
    monkeypatch.syspath_prepend(str(SCRIPT.parent))  # benchmarks are no package
    script = runpy.run_path(str(SCRIPT))
    found = script["benchmark"](script["TOY"])
    assert found["questions"] == 2
    assert found["ratio"].keys() == {"unedited", "addition", "ablation"}
    assert all(seconds > 0 for seconds in found["seconds"].values())
    assert found["parameters"] < 1_000_000
    real = script["REAL"]
    per_block = 4 * real.width**2 + 3 * 3 * real.width**2
    assert real.layers * per_block >= 50_000_000
