"""Whether a cluster is there; no ray is needed."""

from __future__ import annotations

import pytest

from harness_executors import ray_pulse
from harness_executors.ray_pulse import Pulse


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(ray_pulse.time, "monotonic", lambda: now[0])
    return now


def test_it_is_asked_every_three_seconds(clock: list[float]) -> None:
    asked: list[float] = []
    pulse = Pulse(lambda: not asked.append(clock[0]))
    for _ in range(40):
        assert pulse.there()
        clock[0] += 0.5
    assert asked == [103.0 + 3 * n for n in range(6)]


def test_a_cluster_that_comes_back_was_there(clock: list[float]) -> None:
    answers = True
    pulse = Pulse(lambda: answers)
    for _ in range(3):
        answers = False
        for _ in range(12):
            clock[0] += 3
            assert not pulse.there()
        answers = True
        clock[0] += 3
        assert pulse.there()


def test_one_that_does_not_is_gone_before_ray_ends_the_process(clock: list[float]) -> None:
    pulse = Pulse(lambda: False)
    clock[0] += 1000  # nobody looked for long: what counts begins now
    for _ in range(41):
        assert not pulse.there()
        clock[0] += 1
    with pytest.raises(ConnectionError, match="did not answer for 40 seconds"):
        pulse.there()
