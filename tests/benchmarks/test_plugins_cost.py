"""The benchmark of installed plugins runs; how many milliseconds it finds is not asked here."""

import json
from collections.abc import Callable

import pytest


@pytest.mark.slow
def test_the_benchmark_runs_in_small(printed: Callable[..., str]) -> None:
    out = printed("plugins_cost", "--plugins", 2, "--turns", 1)
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["command"] for one in found] == ["plugins", "check drift", "check refusal"]
    for one in found:
        assert one["plugins"] == 2
        assert one["with_ms"] > 0
        each = (one["with_ms"] - one["without_ms"]) / 2
        assert abs(one["each_ms"] - each) < 0.02
