"""What a log says of how far a run is."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from harness.running import progress
from harness.running.progress import BarProgress, LineProgress


@pytest.mark.parametrize(
    ("total", "each", "said"),
    [
        (40, 10, ["x: 10 of 40, about 18 s left", "x: 20 of 40, about 12 s left",
                  "x: 30 of 40, about 6 s left", "x: 40 in 24 s"]),
        (0, 10, ["x: 10 so far", "x: 20 so far", "x: 30 so far", "x: 40 so far", "x: 40 in 24 s"]),
        (0, 0, ["x: 24 s"]),
    ],
)  # fmt: skip
def test_lines_count_what_was_done(
    monkeypatch: pytest.MonkeyPatch, total: int, each: int, said: list[str]
) -> None:
    """Item 5 of the first trials: a benchmark of unknown length said "questions: 0 in 147 s"."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    out = io.StringIO()
    with LineProgress(out).stage("x", total) as tick:
        for _ in range(4):
            clock.now += 6
            tick(each)
    assert out.getvalue().splitlines() == said


@pytest.mark.parametrize("total", [0, 3])
def test_a_bar_takes_any_total(total: int) -> None:
    with BarProgress(io.StringIO()).stage("x", total) as tick:
        tick(1)
