"""The benchmark runs, and all contenders compute the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

linux = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it"
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_runs(printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    import drift_speed

    asked = []

    def peak(shapes: drift_speed.Shapes, documents: int) -> int:
        asked.append((shapes, documents))
        return 100_000_000 + 10_000 * documents

    monkeypatch.setattr(drift_speed, "peak", peak)
    out = printed("drift_speed", "--case", "toy", "--repeats", "1", "--threads", "1", "--memory")
    for name in ("floor", "harness", "notebook"):
        assert f"\n{name} " in out
    assert "peak memory: 101 MB; ten times the tokens: 106 MB, +5.7%" in out
    assert asked == [(drift_speed.TOY, 64), (drift_speed.TOY, 640)]


@linux
@pytest.mark.slow
def test_a_process_of_its_own_says_what_it_held(
    monkeypatch: pytest.MonkeyPatch, warm_python: list[str]
) -> None:
    import drift_speed

    monkeypatch.setattr(drift_speed, "PYTHON", warm_python)
    assert 1e7 < drift_speed.peak(drift_speed.TOY, 13) < 1e11
