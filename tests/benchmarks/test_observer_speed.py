"""The benchmark runs, and telling an observer something costs a run next to nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "observer_speed.py"


@pytest.mark.slow
def test_an_event_costs_at_most_its_bound() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--events", "2000"], capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stderr
    assert "bound 20 µs: holds" in done.stdout, done.stdout
    medians = re.findall(r"^\| .+? \| ([\d.]+) \|", done.stdout, re.MULTILINE)
    assert len(medians) == 7
