"""The benchmark runs: it plans a task, runs it, and says how far the two are apart."""

import re
from collections.abc import Callable

import pytest

from harness.planning.probe import ask


@pytest.mark.slow
def test_the_benchmark_runs_in_small(
    printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch, warm_python: list[str]
) -> None:
    import plan_speed

    monkeypatch.setattr(plan_speed, "PYTHON", warm_python)
    monkeypatch.setattr(ask, "TRIALS", [*warm_python, *ask.TRIALS[1:]])
    out = printed("plan_speed", "diagnosis", "--limit", "6", "--repeats", "1")
    row = out.splitlines()[-1]
    found = re.fullmatch(r"\| diagnosis \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| [\d.]+ \|", row)
    assert found is not None, out
    planned, taken, ratio = map(float, found.groups())
    assert planned > 0 < taken
    assert ratio > 0
