"""The benchmark of installed plugins runs; how many milliseconds it finds is not asked here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("plugins_cost.py")


@pytest.mark.slow
def test_the_benchmark_runs_in_small():
    command = [sys.executable, str(SCRIPT), "--plugins", "2", "--turns", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["command"] for one in found] == ["plugins", "check drift", "check refusal"]
    for one in found:
        assert one["plugins"] == 2
        assert one["with_ms"] > 0
        each = (one["with_ms"] - one["without_ms"]) / 2
        assert abs(one["each_ms"] - each) < 0.02
