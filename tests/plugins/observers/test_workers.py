"""What observers make of events that several workers have a part in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from harness.contract import Effort, Event, Progress, RunStarted, ShardFinished, Stamp
from harness.testing.observer import run_of
from harness_observers.jsonl import Jsonl
from harness_observers.options import JsonlOptions, TrackerOptions
from harness_observers.tracker import Ending, Tracker

STAMP = Stamp("r", 1, 1.0)
EFFORT = Effort(2.0, 100, 50.0, 7)


class Book(Tracker):
    """A tracker that remembers."""

    allowed: ClassVar[str] = r"\w/.=-"

    def __init__(self) -> None:
        super().__init__(TrackerOptions())
        self.logged: list[dict[str, float]] = []

    def begin(self, started: RunStarted, config: Mapping[str, Any]) -> None: ...
    def log(self, numbers: Mapping[str, float]) -> None:
        self.logged.append(dict(numbers))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None: ...
    def file(self, name: str, path: Path) -> None: ...
    def end(self, ending: Ending, summary: Mapping[str, Any]) -> None: ...


def logged(*events: Event) -> list[dict[str, float]]:
    book = Book()
    for event in events:
        book.see(event)
    return book.logged


def test_the_runs_own_metrics_are_those_of_all_workers() -> None:
    """A part of one worker changes neither how far the run is, nor its tokens a second."""
    ours = Progress(STAMP, "pass", 10, 20, Effort(4.0, 400, 100.0, 9))
    part = ShardFinished(replace(STAMP, worker="node-1/0", shard=3), "pass", EFFORT)
    share = Progress(replace(STAMP, worker="node-1/0", shard=3), "pass", 1, 2, EFFORT)
    assert logged(part, share, ours) == [
        {"worker/node-1_0/tokens_per_second": 50.0, "worker/node-1_0/memory_bytes": 7.0},
        {"progress/pass/node-1_0": 0.5, "worker/node-1_0/tokens_per_second": 50.0,
         "worker/node-1_0/memory_bytes": 7.0},
        {"progress/pass": 0.5, "tokens_per_second": 100.0, "memory_bytes": 9.0},
    ]  # fmt: skip


def test_a_part_of_a_process_that_does_all_is_no_metric() -> None:
    assert logged(ShardFinished(replace(STAMP, shard=0), "pass", EFFORT)) == []
    assert logged(ShardFinished(replace(STAMP, worker="w", shard=0), "pass")) == []


def test_a_hostile_name_of_a_worker_is_a_plain_metric() -> None:
    stamp = replace(STAMP, worker="../x\x1b[31m y", shard=0)
    (found,) = logged(ShardFinished(stamp, "pass", EFFORT))
    assert all(name.isprintable() and name.startswith("worker/") for name in found)
    assert all(len(name.split("/")) == 3 for name in found)


def test_the_log_says_who_and_which_part(tmp_path: Path) -> None:
    part = ShardFinished(replace(STAMP, worker="node-1/0", shard=3), "pass", EFFORT)
    log = Jsonl(JsonlOptions())
    for event in (run_of(tmp_path)[0], part):
        log.see(event)
    line = json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])
    assert (line["event"], line["worker"], line["shard"]) == ("shard_finished", "node-1/0", 3)
    assert (line["stage"], line["seconds"], line["tokens"], line["memory"]) == ("pass", 2.0, 100, 7)
