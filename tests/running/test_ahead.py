"""Reading ahead: what comes next is read beside the run, and changes nothing but the time."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from fakes import EXPERIMENT
from harness.running.ahead import Wanted, comes_next, reading_ahead
from harness.running.usage import Usage
from harness.store.known_files import KnownFiles, of_each, sha256_of


class Able:
    """Reads ahead as the function does that are its options."""

    def __init__(self, options: Any) -> None:
        self._read = options

    def read_ahead(self) -> None:
        self._read()


class Unable:
    """Knows of no reading ahead, and is made by loads alone."""

    def __init__(self, options: Any) -> None:
        raise AssertionError("made beside the run")


def _entry(read: Any) -> Any:
    owner = SimpleNamespace(load=lambda: Able if read else Unable)
    return SimpleNamespace(owner=owner, options=read)


@contextmanager
def _reading(monkeypatch: pytest.MonkeyPatch, *reads: Any, usage: Usage | None = None):
    entries = [Wanted("models", _entry(one)) for one in reads]
    monkeypatch.setattr("harness.running.ahead.comes_next", lambda session, planned: entries)
    session: Any = SimpleNamespace(known=KnownFiles(), usage=usage or Usage())
    with reading_ahead(session, None):
        yield session


def _wait(event: threading.Event) -> None:
    assert event.wait(60)


def test_in_order_in_a_thread_of_its_own(monkeypatch) -> None:
    seen, done = [], threading.Event()

    def one() -> None:
        seen.append(threading.current_thread())

    with _reading(monkeypatch, one, one, done.set):
        _wait(done)
    assert len(seen) == 2
    assert threading.main_thread() not in seen
    assert not any(thread.is_alive() for thread in seen)


def test_errors_are_left_to_those_who_load(monkeypatch) -> None:
    done = threading.Event()

    def broken() -> None:
        raise OSError("torn")

    with _reading(monkeypatch, broken, done.set):
        _wait(done)


def test_what_cannot_read_ahead_is_passed_over(monkeypatch) -> None:
    done = threading.Event()
    with _reading(monkeypatch, None, done.set) as session:
        assert session is not None
        _wait(done)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_ends_it(error: type[BaseException], tmp_path, monkeypatch) -> None:
    """In the middle of a file, within one piece; what was not read to its end is not remembered."""
    file = tmp_path / "large"
    file.write_bytes(b"a" * 2**22)
    begun, threads = threading.Event(), []

    def endless() -> None:
        threads.append(threading.current_thread())
        while True:
            sha256_of(file)
            begun.set()

    def run() -> None:
        with _reading(monkeypatch, endless, endless):
            _wait(begun)
            raise error

    with pytest.raises(error):
        run()
    assert len(threads) == 1
    assert not threads[0].is_alive()


def test_a_load_waits_for_what_is_being_read(tmp_path, monkeypatch) -> None:
    """A file is read once, whoever comes first."""
    from harness.store import known_files

    file = tmp_path / "large"
    file.write_bytes(b"a" * 2**21)
    now = known_files.time.time_ns
    monkeypatch.setattr(known_files.time, "time_ns", lambda: now() + 10**10)
    begun, reads, slow = threading.Event(), [], known_files._read

    def counted(file: Any) -> str:
        reads.append(file)
        begun.set()
        time.sleep(0.05)
        return slow(file)

    monkeypatch.setattr(known_files, "_read", counted)
    with _reading(monkeypatch, lambda: sha256_of(file)) as session:
        _wait(begun)
        with known_files.knowing(session.known):
            assert sha256_of(file) == slow(file)
    assert len(reads) == 1


@pytest.mark.slow
def test_its_seconds_are_loading_and_no_stages(tmp_path, monkeypatch) -> None:
    file, usage, begun = tmp_path / "large", Usage(), threading.Event()
    file.write_bytes(b"a" * 2**22)

    def busy() -> None:
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            sha256_of(file)
        begun.set()

    with _reading(monkeypatch, busy, usage=usage), usage.stage("idle"):
        _wait(begun)
        time.sleep(0.02)
    with usage.stage("after"):
        pass
    seconds = usage.report()["seconds"]["processor"]
    assert seconds["loading"] >= 0.2
    # Within the piece that was being read, and what waiting costs.
    assert seconds["stages"]["idle"] < 0.1
    assert seconds["stages"]["after"] < 0.1
    parts = seconds["loading"] + sum(seconds["stages"].values())
    assert seconds["total"] >= parts - 0.02


@pytest.mark.slow
def test_seconds_of_all_its_threads_count(tmp_path, monkeypatch) -> None:
    """A model in several files is read by two threads at a time."""
    files, usage, begun = [tmp_path / name for name in "abc"], Usage(), threading.Event()
    for file in files:
        file.write_bytes(b"a" * 2**22)

    def busy(file: Any) -> str:
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            sha256_of(file)
        return "a"

    def read() -> None:
        of_each(busy, files)
        begun.set()

    with _reading(monkeypatch, read, usage=usage), usage.stage("idle"):
        _wait(begun)
        time.sleep(0.02)
    seconds = usage.report()["seconds"]["processor"]
    assert seconds["loading"] >= 0.28
    assert seconds["stages"]["idle"] < 0.1


def test_the_order_is_that_of_the_plan(session) -> None:
    """Models before the SAEs that were trained on them, each once, and what nothing needs never."""
    from harness.planning.planner import plan

    made = session(EXPERIMENT + '[models.idle]\nbackend = "fake"\n')
    found = comes_next(made, plan(made.task))
    entries = [one.entry for one in found]
    assert len(entries) == len({id(one) for one in entries})
    assert made.task.models["idle"] not in entries
    assert made.task.models["chat"] in entries
    for at, one in enumerate(found):
        if one.table == "saes":
            assert one.entry is made.task.saes["mid"]
            assert made.task.models["base"] in entries[:at]


def test_an_sae_is_not_mapped_while_memory_is_compared(monkeypatch) -> None:
    """What the import of a model's code took is not counted with pages of another thread's file."""
    usage, begun, seen = Usage(), threading.Event(), []
    entries = [Wanted("models", _entry(begun.set)), Wanted("saes", _entry(lambda: seen.append(1)))]
    monkeypatch.setattr("harness.running.ahead.comes_next", lambda session, planned: entries)
    session: Any = SimpleNamespace(known=KnownFiles(), usage=usage)
    with usage.steady, reading_ahead(session, None):
        _wait(begun)
        time.sleep(0.05)
        assert not seen
        usage.steady.release()
        end = time.monotonic() + 60
        while not seen and time.monotonic() < end:
            time.sleep(0.01)
        usage.steady.acquire()
    assert seen
