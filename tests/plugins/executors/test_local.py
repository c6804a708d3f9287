"""The executor `local`: what its children find, what ends them, and what is said of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Outfit, start_worker
from harness.errors import MachineError, UsageError
from harness.testing.support.clerk import Done, Errand
from harness_executors import local, local_minder
from harness_executors.local import Local, most_taken
from harness_executors.local_child import Child
from harness_executors.options import LocalOptions

from .conftest import MANY

Made = Callable[..., Any]

SEEING = """
import json, os, subprocess, sys, time

class Seeing:
    def __init__(self, text):
        self.head = json.loads(text)["head"]
        self.helper = 0
    def work(self, shared, part):
        time.sleep(0.05)
        if os.getpid() != self.head and not self.helper:
            self.helper = subprocess.Popen(["sleep", "1000"]).pid
        main = getattr(sys.modules["__main__"], "__file__", None)
        found = dict(path=sys.path, env=dict(os.environ), cwd=os.getcwd(), process=os.getpid(),
                     main=main, helper=self.helper, torch="torch" in sys.modules)
        return json.dumps(found).encode()
"""
"""A worker that says what it finds, and has a process of its own."""
TORCH = """
import os

class cuda:
    def device_count():
        given = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
        return len(set(given) - set(os.environ.get("GONE", "").split(",")))
"""
"""A torch that sees the devices which it is told to see, but those that are gone."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is put on the search path now, long after the process has started."""
    folder = tmp_path / "mine: a folder"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def outfit(tmp_path: Path, place: Path) -> Iterator[Made]:
    """Makes an outfit of workers of a module with this code; what is said is in a list."""
    made: list[str] = []

    def outfit(code: str, name: str, said: list[str] | None = None) -> Outfit:
        module = f"made_{len(made)}_{os.getpid()}"
        (place / f"{module}.py").write_text(code)
        made.append(module)
        text = json.dumps({"maker": f"{module}:{name}", "head": os.getpid()})
        say = [] if said is None else said
        return Outfit(text, start_worker(text), tmp_path / "executor", say.append)

    yield outfit
    for module in made:
        sys.modules.pop(module, None)


def seen(outfit: Outfit, workers: int, until: Callable[[set[int]], bool]) -> list[dict[str, Any]]:
    """What each worker finds, the head's first; parts come until all have replied."""
    found: dict[int, dict[str, Any]] = {}

    def parts() -> Iterator[bytes]:
        for _ in range(MANY):
            if until(set(found)):
                return
            yield b""

    with Local(LocalOptions(workers=workers)).crew(outfit) as crew:
        for reply in crew.compute(b"", parts()):
            one = json.loads(reply.content)
            found[one["process"]] = one
    rest = [one for number, one in found.items() if number != os.getpid()]
    return [found[os.getpid()], *rest]


def gone(process: int, seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    while True:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.02)


# ── What a child finds ───────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_child_has_the_path_of_its_head_and_nothing_of_its_main_module(outfit: Made) -> None:
    head, child = seen(outfit(SEEING, "Seeing"), 2, lambda found: len(found) == 2)
    assert child["path"] == head["path"] == sys.path
    assert child["cwd"] == head["cwd"]
    assert child["main"] is None
    assert not child["torch"]
    assert gone(child["process"], 0)
    assert gone(child["helper"]), "what a child has started lives on"


@pytest.mark.slow
def test_all_divide_the_cores_unless_a_person_has(
    outfit: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    _, child = seen(outfit(SEEING, "Seeing"), 2, lambda found: len(found) == 2)
    assert child["env"]["OMP_NUM_THREADS"] == "5"
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    _, child = seen(outfit(SEEING, "Seeing"), 2, lambda found: len(found) == 2)
    assert child["env"]["OMP_NUM_THREADS"] == "4"
    assert given == [4, 8]


@pytest.fixture
def devices(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has this machine have devices; children find another torch, which sees them."""

    def devices(*names: str) -> None:
        monkeypatch.setattr(local, "may_have_devices", lambda: True)
        monkeypatch.setattr(local, "cuda_devices", lambda: names)
        (place / "torch.py").write_text(TORCH)

    return devices


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "workers", "expected"),
    [
        (("0", "1", "2"), None, {"0", "1", "2"}),
        (("MIG-a", "MIG-b"), None, {"MIG-a", "MIG-b"}),
        (("4", "5", "6", "7"), 2, {"4,5", "6,7"}),
        (("3",), 2, {None, "3"}),
    ],
)
def test_each_process_has_devices_of_its_own(
    outfit: Made,
    devices: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    workers: int | None,
    expected: set[str],
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    devices(*names)
    said: list[str] = []
    many = workers or len(names)
    found = seen(outfit(SEEING, "Seeing", said), workers, lambda found: len(found) == many)
    visible = [one["env"].get("CUDA_VISIBLE_DEVICES") for one in found]
    assert set(visible) == expected
    assert visible[0] in (names[0], "4,5", None)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert [line for line in said if "share 1 CUDA devices" in line] == (
        said if len(names) == 1 else []
    )


@pytest.mark.slow
def test_a_device_that_has_gone_is_said_and_nothing_is_computed_on_the_cpu(
    outfit: Made, devices: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    devices("0", "1")
    monkeypatch.setenv("GONE", "1")
    with pytest.raises(MachineError, match=r"of the devices 1, CUDA sees 0; a device is gone"):
        seen(outfit(SEEING, "Seeing"), None, lambda found: len(found) == 2)


# ── When a child starts, and what it costs ───────────────────────────────────────────────────────


def test_a_single_part_starts_nobody(office: Any, errands: Made, tmp_path: Path) -> None:
    with Local(LocalOptions(workers=2)).crew(office.outfit) as crew:
        for number in range(5):
            (done,) = office.done(crew, errands(1, 0.02, f"call-{number}"))
            assert done.head
        assert list(crew.compute(b"", iter(()))) == []
        time.sleep(0.2)
        assert not (tmp_path / "executor").exists()
    assert office.said == []


@pytest.mark.slow
def test_a_child_is_busy_while_the_head_is(office: Any, errands: Made) -> None:
    """The head ends no part before its child has answered all that lay beside it."""
    outfit = office.outfit
    log = office.folder / "executor" / "worker-2.log"
    beside = most_taken(2) - 1

    def by_the_child() -> int:
        return log.read_text().count("done") if log.exists() else 0

    class Slow:
        begun = used = 0

        def work(self, shared: bytes, part: bytes) -> bytes:
            if b"timed-" in part:
                self.begun += 1
                # What it did between the head's last look and now counts: `used` is from that look.
                wanted = min(self.used + beside, 40 - self.begun)
                until = time.monotonic() + 120
                while by_the_child() < wanted:
                    assert time.monotonic() < until, "the child waits for the head"
                    time.sleep(0.02)
            return outfit.here.work(shared, part)

    head = Slow()
    slow = Outfit(outfit.text, head, outfit.folder, outfit.say)
    with Local(LocalOptions(workers=2)).crew(slow) as crew:
        office.everyone(crew)
        given = (one.part() for one in errands(40, 0.0, "timed", says="done"))
        for reply in crew.compute(b"", given):
            head.used += not Done.of(reply.content).head
    assert head.begun + head.used == 40
    assert head.used >= 29


@pytest.mark.slow
def test_a_call_of_the_same_bytes_sends_them_once(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from multiprocessing.connection import Connection

    sent: list[int] = []
    before = Connection.send_bytes

    def counted(self: Any, content: bytes, *more: Any) -> None:
        sent.append(len(content))
        before(self, content, *more)

    monkeypatch.setattr(Connection, "send_bytes", counted)
    with Local(LocalOptions(workers=2)).crew(office.outfit) as crew:
        office.everyone(crew)
        for _ in range(3):
            office.beside(crew, b"x" * 100_000)
        office.beside(crew, b"y" * 100_000)
    assert sent.count(100_000) == 2


# ── What ends a child ────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_person_who_stops_the_run_stops_its_head_alone(office: Any) -> None:
    with Local(LocalOptions(workers=2)).crew(office.outfit) as crew:
        child = office.beside(crew).process
        assert os.getsid(child) != os.getsid(0)
        for _ in range(5):
            os.kill(child, signal.SIGINT)
            assert office.beside(crew).process == child
    assert office.said == []


@pytest.mark.slow
def test_a_part_that_ends_three_workers_is_said(office: Any, errands: Made) -> None:
    fatal = [Errand(f"part-{n}", 0.1, dies="always") for n in range(MANY)]
    with (
        Local(LocalOptions(workers=2)).crew(office.outfit) as crew,
        pytest.raises(MachineError) as caught,
    ):
        office.done(crew, fatal)
    (part,) = {line.split(" at part ")[1].split()[0] for line in office.said}
    assert str(caught.value).startswith(
        f"executor local: part {part} has ended 3 workers (signal 9, SIGKILL: out of memory?). What"
        " was finished is kept; use fewer workers"
    )
    assert caught.value.exit_code == 4
    assert len(office.said) == 2
    assert office.died() == {f"part-{part}": 3}


@pytest.mark.slow
def test_workers_that_end_one_after_the_other_are_not_started_for_ever(
    office: Any, errands: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_minder, "IN_A_ROW", 4)
    monkeypatch.setattr(local_minder, "TRIES", 100)
    fatal = [Errand(f"part-{n}", 0.2, dies="always") for n in range(MANY)]
    with (
        Local(LocalOptions(workers=2)).crew(office.outfit) as crew,
        pytest.raises(MachineError, match="4 workers have ended one after the other, the last at"),
    ):
        office.done(crew, fatal)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("sys.exit(3)", UsageError, r"cannot be started \(exit status 3\)\. Workers need the pack"),
        (
            "raise ImportError('no such thing \\x1b[31m')",
            UsageError,
            r"exit status 1\)\. Its last words: ImportError: no such thing .\[31m \(all of them: ",
        ),
        (
            "os.kill(os.getpid(), 9)",
            MachineError,
            r"signal 9, SIGKILL: out of memory\?\)\. What was fi",
        ),
    ],
)
def test_a_worker_that_cannot_be_started_is_said(
    outfit: Made, code: str, error: type[Exception], words: str
) -> None:
    starting = f"""
import os, sys, json, time
class Starting:
    def __init__(self, text):
        if os.getpid() != json.loads(text)["head"]:
            {code}
    def work(self, shared, part):
        time.sleep(0.1)
        return b""
"""
    with (
        pytest.raises(error, match=words) as caught,
        Local(LocalOptions(workers=2)).crew(outfit(starting, "Starting")) as crew,
    ):
        list(crew.compute(b"", (b"" for _ in range(MANY))))
    assert str(caught.value).isprintable()


def test_no_process_from_the_machine_is_said(
    office: Any, errands: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", none)
    with (
        pytest.raises(MachineError, match=r"cannot be started: Resource .*use fewer workers"),
        Local(LocalOptions(workers=2)).crew(office.outfit) as crew,
    ):
        office.done(crew, errands(10_000, 0.05))


@pytest.mark.slow
def test_a_bug_in_the_thread_of_a_child_comes_out(
    office: Any, errands: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(self: Child, shared: bytes, part: bytes) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(Child, "ask", breaks)
    with (
        pytest.raises(ZeroDivisionError),
        Local(LocalOptions(workers=2)).crew(office.outfit) as crew,
    ):
        office.done(crew, errands(10_000, 0.05))


# ── What ends the head ───────────────────────────────────────────────────────────────────────────

HEAD = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it
from pathlib import Path
from harness.contract import Outfit, start_worker
from harness.testing.support.clerk import Done, Errand, clerk
from harness_executors.local import Local, most_taken
from harness_executors.options import LocalOptions

folder = Path(sys.argv[1])
text = clerk(folder)
outfit = Outfit(text, start_worker(text), folder / "executor", lambda line: None)
with Local(LocalOptions(workers=3)).crew(outfit) as crew:
    seen = set()
    def parts():
        while len(seen) < 3:
            yield Errand("short", 0.05).part()
        print(os.getpid(), *seen, flush=True)
        while True:
            yield Errand("long", 1200).part()
    for reply in crew.compute(b"", parts()):
        seen.add(Done.of(reply.content).process)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_child_outlives_its_head_even_amid_a_part(
    how: signal.Signals, tmp_path: Path, warm_python: list[str]
) -> None:
    asking = subprocess.Popen(
        [*warm_python, "-c", HEAD, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    head = 0
    try:
        assert asking.stdout is not None
        head, *numbers = map(int, asking.stdout.readline().split())
        processes = set(numbers)
        assert len(processes) == 3
        assert head in processes
        time.sleep(0.3)
        assert not any(gone(one, 0.01) for one in processes)
        begun = time.monotonic()
        os.kill(head, how)
        _, said = asking.communicate(timeout=600)
        assert all(gone(one) for one in processes)
        assert time.monotonic() - begun < 300  # a part takes 1,200
        assert ("KeyboardInterrupt" in said) is (how == signal.SIGINT)
        assert said.count("Traceback") == said.count("KeyboardInterrupt")
    finally:
        if head and not gone(head, 0):
            os.kill(head, signal.SIGKILL)
        asking.kill()
        asking.communicate()


# ── What is said, and what is left ───────────────────────────────────────────────────────────────


def test_more_workers_than_cores_are_said(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "cores", lambda: 2)
    for workers, lines in ((2, 0), (3, 1)):
        with Local(LocalOptions(workers=workers)).crew(office.outfit) as crew:
            assert crew.size == workers
        assert len(office.said) == lines
    assert "3 workers share 2 cores: no faster than 2 workers" in office.said[0]


def test_a_system_that_starts_no_children_has_one_worker(
    office: Any, errands: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "killpg")
    with Local(LocalOptions()).crew(office.outfit) as crew:
        assert len(office.done(crew, errands(3))) == 3
    executor = Local(LocalOptions(workers=2))
    with (
        pytest.raises(UsageError, match=r"executor\.workers: 2 processes cannot be"),
        executor.crew(office.outfit),
    ):
        pass


@pytest.mark.slow
def test_what_children_print_is_in_a_file_and_empty_ones_go(
    office: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for says in ("", "a word"):
        with Local(LocalOptions(workers=2)).crew(office.outfit) as crew:
            office.beside(crew, says=says)
        assert (tmp_path / "executor").exists() is bool(says)
    assert set((tmp_path / "executor" / "worker-2.log").read_text().split("\n")) == {"a word", ""}
    assert capfd.readouterr() == ("", "")
