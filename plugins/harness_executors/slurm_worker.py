"""What a job runs: one worker, which computes part after part."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from submitit import JobEnvironment
from submitit.core.utils import DelayedSubmission

from harness.contract import start_worker
from harness_executors.slurm_spool import Spool

TRIES = 3
"""How many jobs may end, or begin again, over one part."""
_SOON, _LATE = 0.05, 1.0
"""Seconds between two looks for a part: at first, and after a while without one."""

_Handler = Callable[[int, FrameType | None], object]


class Serve:
    """Computes parts until the head says that there are no more, or nobody has any for a while.

    A job gets this object, the path of the folder and a number, and nothing else of ours.
    """

    def __call__(self, folder: str, idle: float) -> str:
        """The work of a job; gives back why it ended. `idle`: seconds without a part."""
        spool, job = Spool(Path(folder)), JobEnvironment().job_id
        if not spool.is_open():
            return "the run is over"
        leave = _Leave(spool, job)
        leave.listen()
        where = f"{socket.gethostname()}/{job}"
        spool.hello(job, where)
        worker = start_worker(spool.outfit())
        call, shared = "", b""
        ended, pause = time.monotonic() + idle, _SOON
        while not (told := leave.told()) and time.monotonic() < ended:
            ticket = spool.take(job, TRIES)
            if ticket is None:
                time.sleep(pause)
                pause = min(2 * pause, _LATE)
                continue
            try:
                if ticket.call != call:
                    call, shared = ticket.call, spool.shared(ticket.call)
                part = spool.part(job, ticket)
            except FileNotFoundError:  # the head has given up this call
                call = ""
                continue
            spool.answer(job, ticket, where, worker.work(shared, part))
            ended, pause = time.monotonic() + idle, _SOON
        spool.bye(job)
        return "told to end" if told else f"no part for {idle:g} s"

    def checkpoint(self, folder: str, idle: float) -> DelayedSubmission:
        """What the same job does when it begins again, after its time is up: the same. submitit
        asks for it, and calls `scontrol requeue`. All that counts is in the folder."""
        return DelayedSubmission(self, folder, idle)


class _Leave:
    """How a job learns that it is to end: by a file, and by signals."""

    def __init__(self, spool: Spool, job: str) -> None:
        self._spool = spool
        self._job = job

    def told(self) -> bool:
        """Whether the head has said so."""
        return self._spool.is_dismissed(self._job)

    def listen(self) -> None:
        """Takes over the signals that submitit handles.

        submitit's handlers raise, in the middle of whatever is being computed. A worker makes a
        reply of what was raised, so it would count as computed. These end the process instead.
        """
        soon = JobEnvironment._usr_sig()
        requeue = signal.getsignal(soon)
        ignore = signal.getsignal(signal.SIGTERM)
        if callable(requeue):
            signal.signal(soon, self._before_time_is_up(requeue))
        if callable(ignore):
            signal.signal(signal.SIGTERM, self._told_by_signal(ignore))

    def _before_time_is_up(self, requeue: _Handler) -> _Handler:
        """SLURM says that the job's time is nearly up: begin again, in another job."""

        def handle(number: int, frame: FrameType | None) -> None:
            code = 1
            try:
                requeue(number, frame)
            except SystemExit as leaves:
                code = leaves.code if isinstance(leaves.code, int) else 1
            except Exception as error:
                print(f"not requeued: {error}", flush=True)  # noqa: T201
            os._exit(code & 0xFF)

        return handle

    def _told_by_signal(self, ignore: _Handler) -> _Handler:
        """`scancel` sends SIGTERM, and half a minute later SIGKILL; so does preemption, where
        submitit goes on as long as it can."""

        def handle(number: int, frame: FrameType | None) -> None:
            if self.told():
                self._spool.bye(self._job)
                os._exit(0)
            ignore(number, frame)

        return handle
