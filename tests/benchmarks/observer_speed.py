"""What it costs a run to tell its observers something.

    python tests/benchmarks/observer_speed.py [--events 20000]

Measured is the time that the run's own thread is held up by one event: it is stamped, made and
queued for each observer. What observers do with it happens in their threads, so that the largest
times are those of a thread that had to wait for the interpreter. An event of many records costs no
more than one of progress, since copies are made in the observers' threads.

`tick` is what a stage does after each batch; it tells twice a second at most.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from turns.series import Asked, Series, told

from harness.contract import Event, Observer, Progress, Record, Records, RunFinished, RunStarted
from harness.running.observers.audience import Audience, attended
from harness.running.observers.channel import Seat
from harness_observers.jsonl import Jsonl
from harness_observers.options import JsonlOptions

BOUND = 20.0
"""Microseconds that one event may cost, as a median."""


@dataclass(frozen=True)
class Case:
    """Some observers, and how many microseconds each of many events cost."""

    name: str
    times: Sequence[float]

    @property
    def median(self) -> float:
        """The median, in microseconds."""
        return statistics.median(self.times)

    def row(self) -> str:
        """A row of the table."""
        ordered = sorted(self.times)
        far = ordered[int(0.99 * len(ordered))]
        return f"| {self.name} | {self.median:.2f} | {far:.1f} | {ordered[-1]:.0f} |"


class Nothing:
    """Takes an event and does nothing."""

    def see(self, event: Event) -> None:
        """Takes an event."""


class Stuck:
    """Hangs at the first event until it may go on."""

    def __init__(self, release: threading.Event) -> None:
        self._release = release

    def see(self, event: Event) -> None:
        """Waits."""
        self._release.wait()


def cases_of(many: int) -> list[Case]:
    """What each of so many events costs."""
    release = threading.Event()
    records = tuple(
        Record("l0@1", 1.0, 9, "tokens", "latents", axes={"site": f"resid_post.{n}", "k": n})
        for n in range(1000)
    )
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        jsonl = partial(Jsonl, JsonlOptions())
        stuck = partial(Stuck, release)
        for name, makers, told in (
            ("nobody", [], _progress),
            ("one that does nothing", [Nothing], _progress),
            ("four that do nothing", [Nothing] * 4, _progress),
            ("jsonl", [jsonl], _progress),
            ("one that hangs", [stuck], _progress),
            ("jsonl, an event of 1,000 records", [jsonl], partial(_records, records)),
        ):
            few = many if told is _progress else min(many, 500)
            cases.append(Case(name, list(_times(makers, told, few, Path(folder)))))
            release.set()
            release.clear()
        cases.append(Case("tick of a stage, jsonl", list(_ticks([jsonl], many, Path(folder)))))
    return cases


def series(asked: Asked) -> Iterator[Series]:
    """The median microseconds of an event in each case."""
    taken = [cases_of(500 if asked.toy else 5000) for _ in range(asked.repeats)]
    for same in zip(*taken, strict=True):
        yield Series("told to", same[0].name, tuple(one.median for one in same), "µs")


def main(words: Sequence[str] | None = None) -> None:
    """Prints the table, and whether the bound holds."""
    if told(words, series):
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    cases = cases_of(parser.parse_args(words).events)
    print("| told to | median, µs | 99%, µs | most, µs |\n|---|---|---|---|")
    for case in cases:
        print(case.row())
    worst = max(cases, key=lambda case: case.median)
    holds = "holds" if worst.median <= BOUND else "DOES NOT HOLD"
    print(f"bound {BOUND:g} µs: {holds} (median {worst.median:.2f} µs, {worst.name})")


def _progress(audience: Audience) -> Event:
    return Progress(audience.stamp(), "activations, pass 1 of 1", 10, 20)


def _records(records: tuple[Record, ...], audience: Audience) -> Event:
    return Records(audience.stamp(), records)


@contextmanager
def _audience(makers: Sequence[Callable[[], Observer]], folder: Path) -> Iterator[Audience]:
    audience = Audience([Seat(f"observers.{n}", make, 0.5) for n, make in enumerate(makers)])
    with attended(audience):
        audience.tell(RunStarted(audience.stamp(), "speed", "", str(folder), False, {}, "1"))
        time.sleep(0.05)  # until all have begun
        yield audience
        audience.tell(RunFinished(audience.stamp(), "complete"))


def _times(
    makers: Sequence[Callable[[], Observer]],
    told: Callable[[Audience], Event],
    many: int,
    folder: Path,
) -> Iterator[float]:
    """Microseconds of each event; between them the run works, so that queues seldom fill."""
    with _audience(makers, folder) as audience:
        for _ in range(many):
            begun = time.perf_counter()
            audience.tell(told(audience))
            yield 1e6 * (time.perf_counter() - begun)
            sum(range(500))


def _ticks(makers: Sequence[Callable[[], Observer]], many: int, folder: Path) -> Iterator[float]:
    with _audience(makers, folder) as audience, audience.stage("activations", many) as tick:
        for _ in range(many):
            begun = time.perf_counter()
            tick(1)
            yield 1e6 * (time.perf_counter() - begun)
            sum(range(500))


if __name__ == "__main__":
    main()
