"""Runs a command of ours in a process that may be killed: a fork of this one, or a real command.

A fork has imported everything already, which takes longer than all that a small run does. Either
is watched for what must never be: a process that hangs, and one that is left over.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from campaign.kills import watch
from campaign.kills.watch import Watch
from harness.cli.main import main

CPU = 90
"""Seconds of the processor after which a process of one of our small runs hangs."""
WALL = 1200.0
"""Seconds after which it hangs on any machine, however busy with other things."""
GRACE = 30.0
"""Seconds that a process which has lost its parent may take to notice."""
HERE = Path(__file__).resolve().parent
_SUBREAPER, _WITH_PARENT = 36, 1  # PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it left."""

    code: int
    """Its exit code, or minus the signal that killed it."""
    out: str
    err: str
    steps: tuple[str, ...]
    """Its steps on disk, also those that it did after an interrupt."""
    cpu: float
    """Seconds of the processor, those of its own processes included."""
    left: tuple[str, ...] = ()
    """The processes that it left over."""

    @property
    def hung(self) -> bool:
        """Whether it went on for longer than any of our small runs does."""
        return self.code == -signal.SIGXCPU or self.code == -signal.SIGALRM

    def broken(self) -> str:
        """Which promise it broke that holds of every run, however it ended."""
        if self.hung:
            return f"hangs: more than {CPU} s of the processor or {WALL:g} s\n{self.err[-3000:]}"
        if self.left:
            return f"left over: {', '.join(self.left)}"
        if "Traceback" in self.out + self.err or "Exception ignored" in self.err:
            return f"a traceback, exit {self.code}\n{self.err[-6000:]}"
        if self.code == 70:
            return f"exit 70\n{self.err[-6000:]}"
        return ""


@contextlib.contextmanager
def orphans_are_ours() -> Iterator[None]:
    """In the block, processes whose parents are gone become children of this one."""
    libc = ctypes.CDLL(None)
    libc.prctl(_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(_SUBREAPER, 0, 0, 0, 0)


def forked(
    arguments: Sequence[str], place: Path, watched: Watch | None, more: Mapping[str, str]
) -> Ended:
    """Runs `harness ARGUMENTS` in a fork of this process, with `more` in its environment; `place`
    gets what it says."""
    before = children()
    out, err = _emptied(place, watched)
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.environ.update(more)
        _become(arguments, out, err, watched)
    return _ended(child, before, out, err, watched)


def command(
    arguments: Sequence[str], place: Path, watched: Watch | None, more: Mapping[str, str]
) -> Ended:
    """Runs `python -m harness ARGUMENTS` likewise; nothing in it is ours but the watch."""
    before = children()
    out, err = _emptied(place, watched)
    path = [str(HERE / "inside"), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path), **more}
    if watched is not None:
        env[watch.VARIABLE] = watched.variable()
    with out.open("wb") as said, err.open("wb") as complained:
        child = subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments],
            env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=complained,
            start_new_session=True, preexec_fn=_usual,
        )  # fmt: skip
    ended = _ended(child.pid, before, out, err, watched)
    child.returncode = ended.code  # it was waited for here
    return ended


def import_what(place: Path) -> None:
    """Imports what an undisturbed fork has imported by its end, so that the next ones need not."""
    for name in (place / "modules.txt").read_text("utf-8").splitlines():
        if name not in sys.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()  # forks share what is there, and never look through it


def children() -> dict[int, tuple[bool, str]]:
    """The processes whose parent this one is: whether each is alive, and its command."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid():
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(entry.name)] = (state != "Z", line.decode("utf-8", "replace").strip())
    return found


def _usual() -> None:
    """Signals and limits as a process of a person has them, beside ours; it ends with us."""
    ctypes.CDLL(None).prctl(_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _become(arguments: Sequence[str], out: Path, err: Path, watched: Watch | None) -> None:
    """Makes this fork a process of its own that runs the command; never returns."""
    code = 1
    try:
        os.setsid()
        _usual()
        write = os.O_WRONLY | os.O_CREAT
        for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), os.open(out, write),
                                       os.open(err, write))):  # fmt: skip
            os.dup2(file, number)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)  # the other threads of a pool are not in the fork
        if watched is not None:
            watch.begin(watched)
        code = main([*arguments])
        if watched is not None and watched.kill is None:
            (out.parent / "modules.txt").write_text("\n".join(sys.modules), "utf-8")
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _ended(
    child: int, before: Collection[int], out: Path, err: Path, watched: Watch | None
) -> Ended:
    waits = select.poll()
    handle = os.pidfd_open(child)
    waits.register(handle, select.POLLIN)
    late = not waits.poll(WALL * 1000)
    if late:
        os.kill(child, signal.SIGKILL)
    os.close(handle)
    _, status, used = os.wait4(child, 0)
    left = _left(before)
    log = Path(watched.log) if watched else None
    return Ended(
        -signal.SIGALRM if late else os.waitstatus_to_exitcode(status),
        out.read_text("utf-8", "replace"),
        err.read_text("utf-8", "replace"),
        tuple(log.read_text("utf-8").splitlines()) if log and log.exists() else (),
        used.ru_utime + used.ru_stime,
        left,
    )


def _left(before: Collection[int]) -> tuple[str, ...]:
    """What is still there of the processes that a dead one has started; they are ended."""
    deadline = time.monotonic() + GRACE
    while found := {pid: its for pid, its in children().items() if pid not in before}:
        living = {pid: what for pid, (alive, what) in found.items() if alive}
        late = time.monotonic() > deadline
        for pid in found:
            if pid not in living:
                os.waitpid(pid, 0)
            elif late:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if late:
            return tuple(living.values())
        time.sleep(0.05 if living else 0)
    return ()


def _emptied(place: Path, watched: Watch | None) -> tuple[Path, Path]:
    place.mkdir(parents=True, exist_ok=True)
    files = (place / "out.txt", place / "err.txt")
    for file in (*files, *([Path(watched.log)] if watched else [])):
        file.unlink(missing_ok=True)
    return files
