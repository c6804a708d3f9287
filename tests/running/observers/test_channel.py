"""The way to an observer: nobody waits, what does not fit is counted, the last event fits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.contract import Event, Progress, RunFinished, Stamp, Warned
from harness.running.observers.audience import Audience, attended
from harness.running.observers.channel import ROOM, Channel, Seat
from harness.running.observers.masking import Mask

STAMP = Stamp("r", 0, 0.0)
LAST = RunFinished(STAMP, "complete")
HANGS = 300
"""Seconds for which an observer hangs here: far longer than any machine takes for what may not
wait for it."""


class Gate:
    """An observer that waits until it may see."""

    def __init__(self) -> None:
        self.open, self.taken = threading.Event(), threading.Event()
        self.seen: list[Event] = []

    def see(self, event: Event) -> None:
        self.taken.set()
        self.open.wait(HANGS)
        self.seen.append(event)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def channel(gate: Gate, patience: float = 10.0) -> Channel:
    made = Channel(Seat("observers.x", lambda: gate, patience), Mask(), lambda text: None)
    made.start()
    return made


def filled(gate: Gate, many: int) -> Channel:
    """A channel whose observer holds one event, while so many others wait."""
    made = channel(gate)
    for number in range(many + 1):
        made.put(Warned(replace(STAMP, number=number), "w"))
        if not number:
            assert gate.taken.wait(HANGS)
    return made


def test_events_come_in_order_and_all_of_them(gate: Gate) -> None:
    made = filled(gate, 500)
    made.put(LAST)
    gate.open.set()
    assert made.close(time.monotonic() + HANGS) == ""
    assert [event.stamp.number for event in gate.seen[:-1]] == list(range(501))
    assert isinstance(gate.seen[-1], RunFinished)


def test_what_does_not_fit_is_dropped_and_counted_and_the_last_one_fits(gate: Gate) -> None:
    made = filled(gate, ROOM + 7)
    made.put(LAST)
    assert made.dropped == 7
    gate.open.set()
    said = made.close(time.monotonic() + HANGS)
    assert said.startswith("observers.x: 7 of 1,009 events were dropped, because it is slower")
    assert [event.stamp.number for event in gate.seen[:-1]] == list(range(ROOM + 1))
    assert isinstance(gate.seen[-1], RunFinished)


def test_progress_is_dropped_first(gate: Gate) -> None:
    made = filled(gate, ROOM // 2)
    made.put(Progress(STAMP, "s", 1, 2))
    made.put(Warned(STAMP, "w"))
    assert made.dropped == 1
    gate.open.set()
    made.put(LAST)
    made.close(time.monotonic() + HANGS)
    assert not [event for event in gate.seen if isinstance(event, Progress)]


def test_nobody_waits_for_an_observer_that_hangs(gate: Gate) -> None:
    made = filled(gate, 0)
    begun = time.monotonic()
    for _ in range(20_000):
        made.put(Warned(STAMP, "w"))
    assert time.monotonic() - begun < HANGS / 5
    made.put(LAST)
    begun = time.monotonic()
    said = made.close(begun + 0.2)
    assert 0.15 < time.monotonic() - begun < HANGS / 5
    assert said.startswith("observers.x: it had not taken 1,002 of 20,002 events 10 s after")


@pytest.mark.slow
def test_two_that_hang_are_waited_for_at_once(gate: Gate) -> None:
    seats = [Seat(f"observers.{n}", lambda: gate, 0.5) for n in range(400)]
    told = Audience(seats)
    begun = time.monotonic()
    with attended(told):
        told.tell(LAST)
    assert 0.4 < time.monotonic() - begun < 150  # one after the other: 200
    assert len(told.notes) == 400


def test_an_audience_of_nobody_tells_nobody() -> None:
    before, told = threading.active_count(), Audience()
    with attended(told), told.stage("s", 3) as tick:
        tick(1)
    assert not told.listening
    assert threading.active_count() <= before


def test_one_that_breaks_is_said_at_once_and_told_to_the_others(gate: Gate) -> None:
    def broken() -> Gate:
        raise ValueError("no")

    said: list[str] = []
    gate.open.set()
    told = Audience(
        [Seat("observers.a", lambda: gate, 5), Seat("observers.b", broken, 5)],
        say=said.append,
    )
    with attended(told):
        deadline = time.monotonic() + HANGS
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
        assert said == told.notes
        told.tell(LAST)
    (warned,) = [event for event in gate.seen if isinstance(event, Warned)]
    assert warned.text == said[0]
    assert said[0].startswith("observers.b: it broke when it was made: ValueError: no.")


def test_progress_of_a_stage_says_how_far_and_how_fast(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.running.observers.audience.OFTEN", 0.0)
    gate.open.set()
    tokens = iter([0, 100, 300, 400, 400])
    told = Audience([Seat("observers.a", lambda: gate, 5)], tokens=lambda stage: next(tokens))
    with attended(told):
        with told.stage("s", 5) as tick:
            tick(1)
            tick(2)
        told.tell(LAST)
    progress = [event for event in gate.seen if isinstance(event, Progress)]
    assert [(one.done, one.total, one.effort.tokens) for one in progress] == [
        (1, 5, 100),
        (3, 5, 300),
    ]
    for one in progress:
        assert one.effort.seconds is not None
        assert one.effort.tokens is not None
        rate = one.effort.tokens / one.effort.seconds
        assert one.effort.tokens_per_second == pytest.approx(rate)
