"""What a log says of how far a run is."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

import fakes
from harness.planning.planner import plan
from harness.registry import Registry
from harness.running import progress
from harness.running.pace import Gauge, Pace
from harness.running.progress import BarProgress, LineProgress
from harness.running.runner import run
from harness.task.task import Task


@pytest.mark.parametrize(
    ("total", "each", "said"),
    [
        (40, 10, ["x: 10 of 40, 1.7/s, about 18 s left", "x: 20 of 40, 1.7/s, about 12 s left",
                  "x: 30 of 40, 1.7/s, about 6 s left", "x: 40 in 24 s"]),
        (0, 10, ["x: 10 so far, 1.7/s", "x: 20 so far, 1.7/s", "x: 30 so far, 1.7/s",
                 "x: 40 so far, 1.7/s", "x: 40 in 24 s"]),
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


def test_lines_say_what_all_workers_do_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0, tokens=7)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    out = io.StringIO()
    gauge = Gauge(lambda: clock.tokens, lambda: 4)
    with LineProgress(out).stage("pass", 4000, gauge) as tick:
        for _ in range(2):
            clock.now += 10
            clock.tokens += 84_123
            tick(1000)
    assert out.getvalue().splitlines() == [
        "pass: 1,000 of 4,000 on 4 workers, 100/s, 8,400 tokens/s, about 30 s left",
        "pass: 2,000 of 4,000 on 4 workers, 100/s, 8,400 tokens/s, about 20 s left",
        "pass: 4,000 on 4 workers in 20 s",
    ]


def test_a_bar_says_it_as_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    pace = Pace(100.0, 40, Gauge(lambda: round(clock.now - 100) * 50, lambda: 2))
    beside = progress._Beside(pace)
    assert beside.__rich__().plain == "on 2 workers"
    clock.now = 110.0
    pace.add(10, 110.0)
    assert beside.__rich__().plain == "30 s left · 1/s · 50 tokens/s · on 2 workers"
    clock.now = 125.0  # nothing was done since: the time runs on
    assert beside.__rich__().plain.startswith("15 s left · ")
    clock.now = 199.0
    assert beside.__rich__().plain.startswith("0 s left · ")


# ── What cannot be counted ───────────────────────────────────────────────────────────────────────


def test_a_log_says_at_once_what_takes_long() -> None:
    out = io.StringIO()
    with LineProgress(out).doing("importing x", after=0):
        assert out.getvalue() == "harness: importing x\n"
    assert out.getvalue() == "harness: importing x\n"


def test_a_log_says_what_may_be_quick_only_once_it_is_not() -> None:
    out = io.StringIO()
    shown = LineProgress(out)
    with shown.doing("quick", after=30):
        pass
    with shown.doing("slow", after=0.01):
        until = time.monotonic() + 600
        while not out.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
        assert out.getvalue() == "harness: slow\n"
    assert out.getvalue() == "harness: slow\n"


def test_it_is_said_within_half_a_second() -> None:
    """With half a second for reading, an import begins within two seconds of the start."""
    assert progress.SOON <= 0.5


def test_an_error_ends_what_is_shown() -> None:
    out = io.StringIO()
    before = set(threading.enumerate())
    with pytest.raises(KeyError), LineProgress(out).doing("x", after=300):
        raise KeyError
    for waiting in set(threading.enumerate()) - before:
        waiting.join(200)  # it ends now, and not when it would speak
        assert not waiting.is_alive()
    assert out.getvalue() == ""


def test_a_terminal_shows_it_beside_the_bar_and_alone() -> None:
    """Two things drawn at once are an error of rich."""
    out = io.StringIO()
    shown = BarProgress(out)
    shown._console = Console(file=out, force_terminal=True, width=80, color_system=None)
    with shown.doing("importing [torch]"):
        pass
    with shown.stage("preflight", 3) as tick:
        with shown.doing("loading model base"):
            tick(1)
        with pytest.raises(KeyError), shown.doing("loading SAE mid"):
            raise KeyError
        tick(2)
    with shown.doing("writing the report"), shown.doing("inside"):
        pass
    with shown.stage("again", 1) as tick:
        tick(1)
    written = out.getvalue()
    for text in ("importing [torch]", "preflight: loading model base", "preflight: loading SAE mid",
                 "writing the report", "again"):  # fmt: skip
        assert text in written


def test_nothing_is_shown_where_nobody_asked() -> None:
    with progress.Progress().doing("x", after=0):
        pass


class _Told(progress.Progress):
    """Remembers what is being done."""

    def __init__(self) -> None:
        self.said: list[str] = []

    @contextmanager
    def doing(self, what: str, after: float = progress.SOON) -> Iterator[None]:
        self.said.append(what)
        yield


def test_a_run_says_what_it_imports_and_loads(
    task: Callable[..., Task], registry: Registry, tmp_path: Path
) -> None:
    told = _Told()
    run(plan(task(fakes.EXPERIMENT)), registry, tmp_path / "run", progress=told)
    assert told.said[0] == "writing one prompt of each view"
    assert told.said[1].startswith("importing plugins and their libraries: ")
    assert "loading model chat" in told.said
    assert told.said[-1] == "writing the report"


@pytest.mark.slow
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_eval_speaks_before_it_imports_torch(terminal: bool, tmp_path: Path) -> None:
    """What it says first is on stderr before torch is imported; in a pipe there are plain lines
    alone. The code stops the command at the import."""
    code = (
        "import sys\n"
        "from importlib.machinery import ModuleSpec\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        return ModuleSpec(name, self) if name == 'torch' else None\n"
        "    def create_module(self, spec):\n"
        "        raise KeyboardInterrupt\n"
        "    def exec_module(self, module):\n"
        "        raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from harness.cli.main import main\n"
        f"sys.exit(main(['eval', 'drift', '--out', {str(tmp_path / 'run')!r}, '--limit', '2']))\n"
    )
    there, here = pty.openpty() if terminal else os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=here, text=False
    )
    os.close(here)
    written = b""
    with suppress(OSError):
        while part := os.read(there, 4096):
            written += part
    assert child.wait(timeout=600) == 130
    text = written.decode()
    assert "importing torch" in text
    if not terminal:
        assert all(line.isprintable() for line in text.splitlines())
        assert all(not line or line.startswith("harness: ") for line in text.splitlines())
        assert text.splitlines()[-1].startswith("harness: interrupted")
