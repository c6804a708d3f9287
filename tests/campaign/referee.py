"""Runs a command of ours on a file that is wrong, and holds what it does against what is promised.

The command runs in this process, because thousands of files are tried, under a watch on
everything that Python does to the outside: a file that is opened for writing, a process, a socket.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.cli.main import main

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = frozenset(
    [
        "os.mkdir",
        "os.rename",
        "os.remove",
        "os.rmdir",
        "os.link",
        "os.symlink",
        "os.truncate",
        "os.chmod",
        "os.chown",
        "os.utime",
        "os.system",
        "os.exec",
        "os.fork",
        "os.posix_spawn",
        "subprocess.Popen",
        "shutil.copyfile",
        "shutil.move",
        "shutil.rmtree",
        "tempfile.mkstemp",
        "tempfile.mkdtemp",
        "socket.connect",
        "socket.bind",
        "socket.getaddrinfo",
        "urllib.Request",
        "pickle.find_class",
    ]
)


@dataclass(frozen=True)
class Limits:
    """What a command may take."""

    seconds: float = 5.0
    """Processor time that a file may cost the command."""
    hangs: float = 60.0
    """Seconds after which the command hangs, on a machine that is busy with other things."""
    memory: int = 2**30
    """Bytes that it may take beyond what the process has."""


class TooSlow(BaseException):
    """Raised into a command that does not end; no `except Exception` swallows it."""


@dataclass
class _Watch:
    """What was done to the outside while `on`. An audit hook stays for ever; this turns it off."""

    on: bool = False
    seen: list[str] = field(default_factory=list)

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open":
            path, _, flags = given
            if isinstance(flags, int) and flags & _WRITES and str(path) != os.devnull:
                self.seen.append(f"{event} {path}")
        elif event in _FORBIDDEN:
            self.seen.append(f"{event} {given}")


_WATCH = _Watch()
sys.addaudithook(_WATCH)


@dataclass(frozen=True)
class Verdict:
    """What a command said and did."""

    code: int
    out: str
    err: str
    outside: tuple[str, ...]
    """What it did to files, processes and the network."""

    def broken(
        self,
        allowed: tuple[int, ...] = (0, 2),
        *inside: str,
        quiet: bool = True,
        warns: bool = False,
    ) -> str:
        """Which promise is broken; empty where none is. `inside` is the run's own folder, and what
        else may be touched; only a command that is `quiet` says nothing on stderr where all is
        well, and one that `warns` may complain there in sentences of ours."""
        if outside := [e for e in self.outside if not any(one in e for one in inside)]:
            return f"wrote outside: {outside}"
        if "Traceback" in self.out + self.err:
            return f"a traceback, exit {self.code}"
        if self.code not in allowed:
            return f"exit {self.code}"
        if (self.err == "" and self.code) or (self.err and not self.code and quiet and not warns):
            return f"exit {self.code} with {'' if self.err else 'no '}complaint"
        for line in self.err.splitlines():
            ours = ("harness: ", "Usage: ", "Try ", "Error: ")
            if quiet and not line.startswith(ours) and line:
                return f"a line that is no sentence of ours: {line!r}"
            if any(unicodedata.category(char) in ("Cc", "Cs") for char in line):
                return f"control characters: {line!r}"
            if len(line) > 2100:
                return f"a line of {len(line)} characters: {line[:200]!r}"
        return ""


@contextlib.contextmanager
def watching() -> Iterator[list[str]]:
    """What is done to the outside meanwhile: files opened for writing, processes, sockets, and
    what a pickle asks for."""
    _WATCH.seen.clear()
    _WATCH.on = True
    try:
        yield _WATCH.seen
    finally:
        _WATCH.on = False


def run(*arguments: str, limits: Limits = Limits()) -> Verdict:
    """Runs `harness …` in this process under the watch; TooSlow where it does not end."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _held(limits),
        watching() as outside,
    ):  # fmt: skip
        code = main(arguments)
    return Verdict(code, out.getvalue(), err.getvalue(), tuple(outside))


@contextlib.contextmanager
def _held(limits: Limits) -> Iterator[None]:
    def stop(signum: int, frame: object) -> None:
        used = signum == signal.SIGPROF
        what = f"{limits.seconds:g} s of the processor" if used else f"{limits.hangs:g} s"
        raise TooSlow(f"more than {what}")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + limits.memory, hard))
    timers = (
        (
            signal.ITIMER_PROF,
            signal.SIGPROF,
            limits.seconds,
        ),  # what it costs, however busy the machine is
        (signal.ITIMER_REAL, signal.SIGALRM, limits.hangs),
    )
    before = [(number, signal.signal(number, stop)) for _, number, _ in timers]
    for timer, _, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, _, _ in timers:
            signal.setitimer(timer, 0)
        for number, handler in before:
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
