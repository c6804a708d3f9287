"""A process beside the head: how it is started, asked and ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from harness_executors.local_share import Share
from harness_executors.local_worker import PART, SHARED

_START = (
    "import json, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "sys.path[:] = json.loads(sys.argv[1]); from harness_executors.local_worker import main; "
    "main(*map(int, sys.argv[2:]))"
)
"""What a child runs: with the search path that its head has now, and without its main module."""
_PATIENCE = 2.0
"""Seconds in which a child that has nothing to do may end by itself."""


class Ended(Exception):
    """A child has ended that should not have."""

    def __init__(self, code: int) -> None:
        self.killed = code < 0
        super().__init__(_how(code))


class Lacking(Exception):
    """A child has less than it needs, and says what."""


class Child:
    """A process with a worker in it. One thread asks it; any thread may end it."""

    def __init__(self, text: str, share: Share, log: Path) -> None:
        """Starts the process; what it prints goes into the file `log`.

        Raises OSError where the machine gives no process.
        """
        self._devices = len(share.devices)
        self._shared: bytes | None = None
        self._text = text
        ours, theirs = socket.socketpair()
        log.parent.mkdir(parents=True, exist_ok=True)
        with theirs, log.open("ab") as out:
            given = map(str, (theirs.fileno(), os.getpid(), self._devices))
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _START, json.dumps(sys.path), *given],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    env={**os.environ, **share.variables()},
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        self._pipe = Connection(ours.detach())
        self.busy = True
        """Whether it is starting, or has a part."""
        self._killed = False

    def ready(self) -> None:
        """Waits until there is a worker. Raises Ended, or Lacking where its devices are gone."""
        try:
            self._pipe.send_bytes(self._text.encode("utf-8"))
            lacking = self._pipe.recv_bytes().decode("utf-8")
            if not lacking:
                self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise Ended(self._code()) from None
        self.busy = False
        if lacking:
            raise Lacking(lacking)

    def ask(self, shared: bytes, part: bytes) -> bytes:
        """The reply to a part. Raises Ended where the process ends before it has given one."""
        self.busy = True
        try:
            if self._shared != shared:
                self._pipe.send_bytes(SHARED)
                self._pipe.send_bytes(shared)
                self._shared = shared
            self._pipe.send_bytes(PART)
            self._pipe.send_bytes(part)
            reply = self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise Ended(self._code()) from None
        self.busy = False
        return reply

    def dismiss(self) -> None:
        """Ends the process: at once if it has a part, else as soon as it has cleaned up."""
        if self.busy:
            self._kill()
            return
        # It goes when nobody is at the other end. Closing is left to the thread that reads there.
        with suppress(OSError), socket.socket(fileno=os.dup(self._pipe.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Waits until the process has ended, and whatever it has started; after `dismiss`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE)
        self._kill()
        self._process.wait()

    def _kill(self) -> None:
        # Once only: when all of the group are gone, its number may be somebody else's.
        if not self._killed:
            self._killed = True
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Closes the pipe, after `end`, by the thread that asked."""
        self._pipe.close()

    def _code(self) -> int:
        """How it ended; a process that has closed its pipe and lives on is ended."""
        self.end()
        return self._process.returncode


def _how(code: int) -> str:
    """A return code of `subprocess` in words."""
    if code >= 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
    return f"signal {-code}, {name}{': out of memory?' if name == 'SIGKILL' else ''}"
