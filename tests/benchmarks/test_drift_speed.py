"""The benchmark runs, and all contenders compute the same numbers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "drift_speed.py"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it")
def test_it_runs() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--case", "toy", "--repeats", "1", "--threads", "1", "--memory"],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    for name in ("floor", "harness", "notebook", "ten times the tokens"):
        assert name in done.stdout
