"""The benchmark runs, computes the same thing with everyone, and says whether its bounds hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "sae_speed.py"


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="counts memory as Linux does"
)
def test_it_runs():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--toy", "--repeats", "2"],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    for line in (
        "## d 16, 256 latents, k 4, 64 tokens",
        "| harness |",
        "| product, 256 rows |",
        "bound 1.15 × product: ",
        "never slower than sae_lens: ",
        "never slower than sparsify: ",
        "at least 4 times below the dense way: ",
    ):
        assert line in done.stdout
