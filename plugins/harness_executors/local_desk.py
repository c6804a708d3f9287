"""Where the head lays parts for other processes, and finds their replies. Used by many threads."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace

from harness.contract import Reply


@dataclass(frozen=True)
class Job:
    """A part that is to be computed."""

    call: int
    """Which call of `compute` it belongs to."""
    shared: bytes
    part: int
    content: bytes
    ended: tuple[str, ...] = field(default=())
    """How the workers ended that had it."""


class Desk:
    """Parts that wait, and replies that are there, of one call at a time.

    What comes back for a call that is over is dropped.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._call = 0
        self._waiting: deque[Job] = deque()
        self._replies: deque[Reply] = deque()
        self._laid = 0
        self._open = 0
        self._error: BaseException | None = None
        self._over = False

    # ── The head's side ──────────────────────────────────────────────────────────────────────────

    def begin(self) -> int:
        """A new call, and its number. Nothing of an earlier one is begun any more."""
        with self._turn:
            self._call += 1
            self._waiting.clear()
            self._replies.clear()
            self._laid = self._open = 0
            self._error = None
            return self._call

    def end(self) -> None:
        """No call is to come: threads that wait for a part go home."""
        with self._turn:
            self._over = True
            self._waiting.clear()
            self._turn.notify_all()

    def lay(self, job: Job) -> None:
        """Lays down a part."""
        with self._turn:
            self._waiting.append(job)
            self._laid += 1
            self._open += 1
            self._turn.notify_all()

    @property
    def open(self) -> int:
        """How many parts have no reply that was collected."""
        with self._turn:
            return self._open

    def take_home(self) -> Job | None:
        """A part for the head itself, if there is one. None that has ended a worker: it could end
        the head, too."""
        with self._turn:
            for place, job in enumerate(self._waiting):
                if not job.ended:
                    del self._waiting[place]
                    self._open -= 1
                    return job
            return None

    def collect(self, wait: bool = False) -> list[Reply]:
        """The replies that are there; with `wait`, at least one. Raises what a worker's thread has
        found to be wrong."""
        with self._turn:
            if wait:
                self._turn.wait_for(lambda: self._replies or self._error)
            if self._error is not None:
                raise self._error
            found = list(self._replies)
            self._replies.clear()
            self._open -= len(found)
            return found

    # ── The side of the threads that ask other processes ─────────────────────────────────────────

    def wanted(self) -> bool:
        """Waits until a part lies there; False: all is over. A single part is the head's."""
        with self._turn:
            self._turn.wait_for(lambda: self._over or (self._waiting and self._laid > 1))
            return not self._over

    def take(self) -> Job | None:
        """The next part, if it is still there."""
        with self._turn:
            return self._waiting.popleft() if self._waiting and not self._over else None

    def answer(self, job: Job, worker: str, content: bytes) -> None:
        """Brings the reply to a part."""
        with self._turn:
            if job.call == self._call:
                self._replies.append(Reply(job.part, worker, content))
                self._turn.notify_all()

    def bring_back(self, job: Job, how: str) -> None:
        """Lays a part down again, in front, because its worker has ended."""
        with self._turn:
            if job.call == self._call and not self._over:
                self._waiting.appendleft(replace(job, ended=(*job.ended, how)))
                self._turn.notify_all()

    def fail(self, error: BaseException) -> None:
        """Ends the call with an error."""
        with self._turn:
            self._error = self._error or error
            self._waiting.clear()
            self._turn.notify_all()
