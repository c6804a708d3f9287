"""Whether the cluster is there, asked again and again while a run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOK = 3.0
"""Seconds between two looks."""
_LOST = 40.0
"""Seconds without an answer after which a cluster is given up. Some come back within that time, and
after 60 Ray would end this process without a word."""


class Pulse:
    """What is known of the cluster's head; `answers` asks it, and takes two seconds at most."""

    def __init__(self, answers: Callable[[], bool]) -> None:
        self._answers = answers
        self._asked = time.monotonic()
        self._silent: float | None = None
        """Since when it has not answered."""

    def there(self) -> bool:
        """Whether it answered when it was asked last: without it, Ray's own calls do not return.

        ConnectionError where it is gone for good. Until then workers can go on.
        """
        now = time.monotonic()
        if now - self._asked >= _LOOK:
            self._asked = now
            silent = now if self._silent is None else self._silent
            self._silent = None if self._answers() else silent
        if self._silent is not None and now - self._silent > _LOST:
            raise ConnectionError(f"its head did not answer for {_LOST:g} seconds")
        return self._silent is None
