"""Inside a run that will be killed: counts its steps on disk, and sends the signal at one of them.

Used in a fork of the campaign, and in a real command, into which `sitecustomize` brings it. So it
imports next to nothing, and nothing of the harness.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

VARIABLE = "KILLS_WATCH"
"""The variable of the environment in which a real command finds its watch, as JSON."""
_STEPS = {
    "open": 1, "os.rename": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1, "os.utime": 1,
    "os.chmod": 1, "os.truncate": 1, "os.scandir": 1, "os.listdir": 1, "shutil.rmtree": 1,
}  # fmt: skip
"""Events of Python that are steps, with how many of their arguments are paths."""
_PROCESSOR_TIME, _BY_SIGNAL = 2, 0  # CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL


@dataclass(frozen=True)
class Kill:
    """A signal, and the moment at which a process gets it."""

    signal: int
    step: int = 0
    """At its so-manieth step on disk, from 1; with 0, after `cpu`."""
    cpu: float = 0.0
    """After so many seconds of the processor, whatever it does then."""


@dataclass(frozen=True)
class Watch:
    """What is watched of a process."""

    folders: tuple[str, ...]
    """What it does to files below these is a step: opening, renaming, removing, `fsync`."""
    log: str
    """A file that gets a line for each step, before it is done."""
    kill: Kill | None = None

    def variable(self) -> str:
        """As a variable of the environment."""
        return json.dumps(asdict(self))


def from_variable(text: str) -> Watch:
    """A watch from a variable of the environment."""
    given = json.loads(text)
    kill = given["kill"]
    return Watch(tuple(given["folders"]), given["log"], None if kill is None else Kill(**kill))


def begin(watch: Watch) -> None:
    """Watches this process from now on, and for as long as it lives."""
    steps = _Steps(watch)
    sys.addaudithook(steps.event)
    was = os.fsync

    def fsync(file: Any) -> None:
        steps.step("fsync", [str(Path(f"/proc/self/fd/{file}").readlink())])
        was(file)

    os.fsync = fsync
    if watch.kill is not None and not watch.kill.step:
        _after(watch.kill.cpu, watch.kill.signal)


class _Steps:
    def __init__(self, watch: Watch) -> None:
        self._folders = tuple(f"{folder}/" for folder in watch.folders)
        self._log = os.open(watch.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._kill = watch.kill
        self._count = 0
        self._process = os.getpid()

    def event(self, name: str, given: tuple[Any, ...]) -> None:
        """An event of Python; forks of the process are not watched."""
        if name in _STEPS and os.getpid() == self._process:
            paths = given[: _STEPS[name]]
            self.step(name, [os.fsdecode(p) for p in paths if isinstance(p, str | bytes | Path)])

    def step(self, name: str, paths: Sequence[str]) -> None:
        """Counts a step if it is in one of the folders, and sends the signal if it is the one."""
        inside = [os.path.join(os.getcwd(), path) for path in paths]  # noqa: PTH109, PTH118
        if not any(f"{path}/".startswith(self._folders) for path in inside):
            return
        self._count += 1
        os.write(self._log, f"{name} {inside[-1]}\n".encode("utf-8", "replace"))
        if self._kill is not None and self._count == self._kill.step:
            os.kill(self._process, self._kill.signal)


class _Event(ctypes.Structure):
    """`struct sigevent`: 64 bytes, of which the first ones count here."""

    _fields_ = [("value", ctypes.c_void_p), ("signal", ctypes.c_int), ("notify", ctypes.c_int),
                ("rest", ctypes.c_char * 48)]  # fmt: skip


class _Times(ctypes.Structure):
    """`struct itimerspec`."""

    _fields_ = [(name, ctypes.c_long) for name in ("again", "again_ns", "seconds", "ns")]


def _after(cpu: float, number: int) -> None:
    """Has the kernel send the signal, in the middle of whatever the process computes then."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer = ctypes.c_void_p()
    event = _Event(None, number, _BY_SIGNAL, b"")
    times = _Times(0, 0, int(cpu), max(1, int(cpu % 1 * 1e9)))
    made = libc.timer_create(_PROCESSOR_TIME, ctypes.byref(event), ctypes.byref(timer))
    if made or libc.timer_settime(timer, 0, ctypes.byref(times), None):
        raise OSError(ctypes.get_errno(), "no timer")
