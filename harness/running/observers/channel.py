"""The way to one observer: a queue with an end, and a thread in which the observer sees.

Whoever puts an event in never waits, whatever the observer does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from harness.contract import Event, Observer, Progress, ShardFinished
from harness.errors import HarnessError
from harness.running.observers.masking import Mask

ROOM = 1000
"""Events that may wait for an observer. Of these, half may be of progress."""


@dataclass(frozen=True)
class Seat:
    """An observer that a run will have: its name, how it is made, how long is waited for it."""

    name: str
    """Where the task says so, such as `observers.log`."""
    make: Callable[[], Observer]
    """Makes it; called in the observer's own thread, because it may import a lot."""
    patience: float
    """Seconds that are waited for it at the end of the run."""


class Channel:
    """One observer in its own thread, as long as a run lasts."""

    def __init__(self, seat: Seat, mask: Mask, broke: Callable[[str], None]) -> None:
        """`broke` is called from the observer's thread, once, where it raised."""
        self.seat = seat
        self.dropped = 0
        self._mask = mask
        self._broke = broke
        self._put = 0
        self._off = False
        self._queue: SimpleQueue[Event] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name=seat.name, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def put(self, event: Event) -> None:
        """Queues an event, or drops and counts it where there is no room. The last always fits."""
        if self._off:
            return
        with self._lock:
            self._put += 1
            room = ROOM // 2 if isinstance(event, (Progress, ShardFinished)) else ROOM
            if self._queue.qsize() >= room and not event.ends:
                self.dropped += 1
                return
        self._queue.put(event)

    def close(self, until: float) -> str:
        """Waits until a time of `time.monotonic` for the observer to take what waits for it.

        Returns what must be said of it; empty where all is well.
        """
        self._thread.join(max(0.0, until - time.monotonic()))
        left = self._queue.qsize()
        late = self._thread.is_alive()
        broken, self._off = self._off, True
        if broken:
            return ""
        if late:
            # The event that it holds has left the queue.
            return (
                f"{self.seat.name}: it had not taken {left + 1:,} of {self._put:,} events "
                f"{self.seat.patience:g} s after the end of the run, which then did not wait any "
                "longer. The results are complete. To wait longer, set its option patience."
            )
        if self.dropped:
            return (
                f"{self.seat.name}: {self.dropped:,} of {self._put:,} events were dropped, because "
                f"it is slower than the run and {ROOM:,} were waiting. The results are complete."
            )
        return ""

    def _work(self) -> None:
        event = None
        try:
            observer = self.seat.make()
            while not self._off:
                event = self._queue.get()
                if self._off:
                    return
                observer.see(self._mask.handed(event))
                if event.ends:
                    return
        except BaseException as error:  # a stranger's observer may raise anything, also an exit
            late, self._off = self._off, True
            if not late:
                self._broke(f"{self.seat.name}: {self._why(error, event)}")

    def _why(self, error: BaseException, event: Event | None) -> str:
        rest = "It is told no more of this run. The results are complete."
        text = self._mask.text(" ".join(str(error).split()))
        if isinstance(error, HarnessError):
            return f"{text} {rest}"
        when = f"at {event.kind!r}" if event is not None else "when it was made"
        shown = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return f"it broke {when}: {shown.rstrip('.')}. {rest}"
