"""The benchmark runs, and says what a part costs beside its work."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "executor_speed.py"


def test_it_says_what_a_part_costs_beside_its_work() -> None:
    given = ["parts", "--parts", "60", "--seconds", "0.05"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *given], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\| local \| 2 \| 60 of 0\.05 s \| [\d.]+ \|", done.stdout, re.MULTILINE)
    assert re.search(r"beside a part, s: -?[\d.]+, bound 0\.05: ", done.stdout), done.stdout


@pytest.mark.slow
def test_the_throughput_of_two_workers_is_compared_with_that_of_one() -> None:
    given = ["drift", "--tokens", "8000", "--repeats", "1"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *given], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    rates = re.findall(r"^\| ([12]) \| (\d+) \|", done.stdout, re.MULTILINE)
    assert [workers for workers, _ in rates] == ["1", "2"]
    assert all(int(rate) > 0 for _, rate in rates)
    assert re.search(r"2 workers against 1: [\d.]+, bound 1\.7: ", done.stdout)
