"""The benchmark runs: it plans a task, runs it, and says how far the two are apart."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("plan_speed.py")


@pytest.mark.slow
def test_the_benchmark_runs_in_small():
    command = [sys.executable, str(SCRIPT), "diagnosis", "--limit", "20", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    row = done.stdout.splitlines()[-1]
    found = re.fullmatch(r"\| diagnosis \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| [\d.]+ \|", row)
    assert found is not None, done.stdout
    planned, taken, ratio = map(float, found.groups())
    assert planned > 0 < taken
    assert ratio > 0
