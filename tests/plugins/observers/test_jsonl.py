"""The log of events: whole lines, whatever happens; a rerun goes on below; hostile text is tame."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.contract import EVENTS, Effort, Event, Record, RunFailed, RunStarted, Stamp, Warned
from harness.errors import UsageError
from harness.running.observers.masking import Mask
from harness.testing.observer import hostile, run_of
from harness_observers.jsonl import Jsonl, line
from harness_observers.options import JsonlOptions

PAGE = Path(__file__).parents[3] / "docs" / "observers.md"


def told(folder: Path, events: list[Event]) -> Path:
    log = Jsonl(JsonlOptions())
    for event in events:
        log.see(event)
    return folder / "events.jsonl"


def lines(file: Path) -> list[dict[str, Any]]:
    text = file.read_text(encoding="ascii")
    assert text.endswith("\n")
    return [json.loads(one) for one in text.splitlines()]


def test_a_line_for_each_event_in_order(tmp_path: Path) -> None:
    events = run_of(tmp_path)
    found = lines(told(tmp_path, events))
    assert [(one["event"], one["number"]) for one in found] == [
        (event.kind, event.stamp.number) for event in events
    ]
    assert found[2] == {
        "schema": 1, "event": "progress", "run": "a1b2c3", "number": 2, "time": 1_700_000_002.0,
        "worker": None, "shard": None, "stage": "activations, pass 1 of 1", "done": 10,
        "total": 20, "seconds": 2.5, "tokens": 1000, "tokens_per_second": 400.0, "memory": 2**30,
    }  # fmt: skip
    (record, _) = found[5]["records"]
    assert record["ci"] == [29.0, 32.0]
    assert record["axes"] == {"pair": "both", "site": "resid_post.3", "k": 4}
    assert set(record) == {field.name for field in dataclasses.fields(Record)}


def test_a_rerun_goes_on_below(tmp_path: Path) -> None:
    events = run_of(tmp_path)
    told(tmp_path, events)
    found = lines(told(tmp_path, run_of(tmp_path, resumed=True)))
    assert len(found) == 2 * len(events)
    assert [one["resumed"] for one in found if one["event"] == "run_started"] == [False, True]


@pytest.mark.parametrize("size", [1, 100, 70_000, 200_000])
def test_a_line_that_was_torn_is_cut_off(tmp_path: Path, size: int) -> None:
    events = run_of(tmp_path)
    file = told(tmp_path, events)
    before = file.read_bytes()
    with file.open("ab") as out:
        out.write(b"x" * size)
    told(tmp_path, events)
    assert file.read_bytes() == 2 * before


def test_a_file_of_one_torn_line_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(b'{"schema": 1, "ev')
    assert len(lines(told(tmp_path, run_of(tmp_path)))) == len(run_of(tmp_path))


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = run_of(tmp_path)
    log = Jsonl(JsonlOptions())
    for event in events[:3]:
        log.see(event)
    write = os.write

    def full(out: int, data: bytes) -> int:
        write(out, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness_observers.jsonl.os.write", full)
    with pytest.raises(OSError, match="No space"):
        log.see(events[3])
    assert len(lines(tmp_path / "events.jsonl")) == 3


WRITER = """
import os, sys
from dataclasses import replace
from pathlib import Path
from harness.testing.observer import run_of
from harness_observers.jsonl import Jsonl
from harness_observers.options import JsonlOptions
for _ in sys.stdin:
    if os.fork() == 0:
        log, events = Jsonl(JsonlOptions()), run_of(Path(sys.argv[1]))
        log.see(events[0])
        print(os.getpid(), flush=True)
        while True:
            log.see(events[5])
    os.wait()
    print("ended", flush=True)
"""
"""For each line another process that writes, and has imported already what takes a second."""


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    writers = subprocess.Popen(
        [sys.executable, "-c", WRITER, tmp_path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert writers.stdin is not None
        assert writers.stdout is not None
        for turn in range(3):
            writers.stdin.write("\n")
            writers.stdin.flush()
            writer = int(writers.stdout.readline())
            before, until = file.stat().st_size, time.monotonic() + 600
            while file.stat().st_size == before and time.monotonic() < until:
                time.sleep(0.005)
            time.sleep(0.03 * turn)
            os.kill(writer, signal.SIGKILL)
            assert writers.stdout.readline() == "ended\n"
            assert len(lines(file)) > turn + 1
    finally:
        os.killpg(writers.pid, signal.SIGKILL)
        writers.communicate()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine", encoding="utf-8")
    (tmp_path / "events.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"events\.jsonl: is a link"):
        told(tmp_path, run_of(tmp_path))
    assert (tmp_path / "elsewhere").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    "name", ["claims.jsonl", "../events.jsonl", "/tmp/events.jsonl", "events.json", "", "x/events"]
)
def test_it_writes_into_no_other_file(name: str) -> None:
    with pytest.raises(ValueError, match="file"):
        JsonlOptions(file=name)


@pytest.mark.slow
def test_hostile_text_is_ascii_and_does_nothing(tmp_path: Path) -> None:
    mask = Mask()
    file = told(tmp_path, [mask.handed(event) for event in hostile(tmp_path)])
    assert not re.search(rb"[^\x20-\x7e\n]", file.read_bytes())
    assert len(lines(file)) == len(hostile(tmp_path))


def test_what_no_json_has_is_no_line() -> None:
    event = RunFailed(Stamp("r", 0, 0.0), "x", 70, Effort(seconds=float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        line(event)
    assert json.loads(line(mask_of(event)))["seconds"] is None


def mask_of(event: Event) -> Event:
    return Mask().handed(event)


def test_the_options_are_those_of_the_page() -> None:
    """Every kind of event, and every field of each, is in the table of the documentation."""
    rows = dict(_rows())
    assert set(rows) == {event.kind for event in EVENTS} | {"every line"}
    common = {"schema", "event", *(field.name for field in dataclasses.fields(Stamp))}
    assert rows["every line"] == common
    effort = {field.name for field in dataclasses.fields(Effort)}
    for event in EVENTS:
        fields = {field.name for field in dataclasses.fields(event)} - {"stamp"}
        own = (fields - {"effort"}) | (effort if "effort" in fields else set())
        assert rows[event.kind] == own, event.kind


def _rows() -> Iterator[tuple[str, set[str]]]:
    text = PAGE.read_text(encoding="utf-8").partition("## The log of events")[2]
    for row in re.findall(r"^\| ([^|]+) \| ([^|]+) \|", text, re.MULTILINE):
        name, fields = (cell.strip() for cell in row)
        if fields.startswith("`"):
            yield name.strip("`"), set(re.findall(r"`(\w+)`", fields))


def test_an_event_before_the_beginning_is_left_alone(tmp_path: Path) -> None:
    Jsonl(JsonlOptions()).see(Warned(Stamp("r", 0, 0.0), "x"))
    assert not list(tmp_path.iterdir())


def test_the_first_event_says_where(tmp_path: Path) -> None:
    assert isinstance(run_of(tmp_path)[0], RunStarted)
