"""Keeps requests apart in time, also those of several threads."""

from __future__ import annotations

import time
from threading import Event, Lock


class Pace:
    """Gives each request its turn: at least `interval` seconds after the one before."""

    def __init__(self, interval: float) -> None:
        self._interval, self._next = interval, 0.0
        self._lock = Lock()

    def turn(self, stopped: Event) -> None:
        """Waits until it is this request's turn, or until `stopped` is set."""
        if not self._interval:
            return
        with self._lock:  # whoever comes while one waits, waits for the lock
            pause = self._next - time.monotonic()
            if pause > 0:
                stopped.wait(pause)
            self._next = time.monotonic() + self._interval
