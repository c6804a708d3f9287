"""Runs commands of ours in a process forked from this one, within bounds and under a watch.

A fork has torch and all libraries imported already, and what it does to itself dies with it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from campaign.referee import Limits, Verdict, watching

SECONDS = 10
"""Processor time of all commands together; a sound run takes half a second."""
HANGS = 120.0
"""Seconds by the clock, for what waits and computes nothing."""


@dataclass(frozen=True)
class Outcome:
    """What a process did with its commands."""

    verdicts: tuple[Verdict, ...]
    """One for each command that ended by itself."""
    ended: str
    """Why the process ended before all had, such as `SIGSEGV`; empty where it did not."""
    said: str
    """The last that it wrote to stderr, where it ended so."""
    peak: int
    """Bytes of memory that it had at most, those that it shares with this process included."""


def attempt(commands: Sequence[Sequence[str]], here: Path) -> Outcome:
    """Runs commands one after the other in the folder `here`, which is their home, too."""
    files = [here / name for name in ("out", "err", "verdicts")]
    for folder in ("home", "tmp", "empty"):
        (here / folder).mkdir(parents=True)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        _child(commands, here, files)
    status, usage, late = _waited(child)
    verdicts = []
    for line in files[2].read_text("utf-8").splitlines() if files[2].exists() else ():
        code, out, err, outside = json.loads(line)
        verdicts.append(Verdict(code, out, err, tuple(outside)))
    ended = ""
    if late:
        ended = f"{HANGS:g} s without an end"
    elif os.WIFSIGNALED(status):
        ended = signal.Signals(os.WTERMSIG(status)).name
        if ended == "SIGXCPU":
            ended = f"more than {SECONDS} s of the processor"
    elif len(verdicts) < len(commands):
        ended = f"exit {os.waitstatus_to_exitcode(status)}"
    said = files[1].read_text("utf-8", "replace")[-2000:] if ended and files[1].exists() else ""
    return Outcome(tuple(verdicts), ended, said, usage.ru_maxrss * 1024)


def _waited(child: int) -> tuple[int, resource.struct_rusage, bool]:
    """How a child ended; it is ended where it takes too long by the clock."""
    until, pause = time.monotonic() + HANGS, 0.002
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            return status, usage, False
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            return status, usage, True
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def _child(commands: Sequence[Sequence[str]], here: Path, files: list[Path]) -> NoReturn:
    """Ends by itself: nothing of the parent goes on in it."""
    code = 1
    try:
        _bounds()
        os.environ |= {"HOME": str(here / "home"), "TMPDIR": str(here / "tmp"),
                       "XDG_CACHE_HOME": str(here / "home")}  # fmt: skip
        os.chdir(here / "empty")
        import tempfile

        from harness.cli.main import main

        tempfile.tempdir = None
        with files[2].open("w", encoding="utf-8") as verdicts:
            for arguments in commands:
                for number, file in enumerate(files[:2], 1):
                    new = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
                    os.dup2(new, number)
                sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
                sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
                with watching() as outside:
                    done = main(arguments)
                sys.stdout.flush()
                sys.stderr.flush()
                texts = [file.read_text("utf-8", "replace") for file in files[:2]]
                verdicts.write(json.dumps([done, *texts, list(outside)]) + "\n")
                verdicts.flush()
        code = 0
    finally:
        os._exit(code)


def _bounds() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + Limits().memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**28, 2**28))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
