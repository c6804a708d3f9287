"""The benchmark runs, computes the same thing with everyone, and says whether its bounds hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_runs(printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    import sae_speed

    added = {"harness": 2_000_000, "sae_lens": 8_000_000, "sparsify": 6_000_000}
    monkeypatch.setattr(sae_speed, "added_elsewhere", lambda words: added[words[-1]])
    out = printed("sae_speed", "--toy", "--repeats", "2")
    for line in (
        "## d 16, 256 latents, k 4, 64 tokens",
        "| harness |",
        "| product, 256 rows |",
        "bound 1.15 × product: ",
        "never slower than sae_lens: ",
        "never slower than sparsify: ",
        "| sae_lens | 8 | 4.0 |",
        "at least 4 times below the dense way: 3.0 times, DOES NOT HOLD",
    ):
        assert line in out


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="counts memory as Linux does"
)
def test_a_process_of_its_own_says_what_a_turn_adds() -> None:
    from sae_speed import added_elsewhere

    assert 0 <= added_elsewhere(["--toy", "--case", "0", "--memory-of", "harness"]) < 1e9
