"""Keeps the harness safe from what a plugin's code does while it is imported."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import ExitStack, redirect_stdout
from types import FrameType

SLOWEST = 30.0
"""Seconds after which the import of a plugin, which must be light, is given up."""


class TooSlow(BaseException):
    """A plugin has not been imported in time; no `except Exception` of its own may swallow it."""


class Guard:
    """While a plugin's code is imported: what it prints goes to stderr, since stdout is ours; an
    import that does not end is ended; and a KeyboardInterrupt is told from the user's own.

    Outside the main thread, where there are no signals, only the first.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
        self.interrupted = False
        """Whether the user wants to stop."""
        self._undo = ExitStack()

    def __enter__(self) -> Guard:
        self._undo.enter_context(redirect_stdout(sys.stderr))
        if threading.current_thread() is threading.main_thread():
            self._watch_signals()
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def _watch_signals(self) -> None:
        usual = signal.getsignal(signal.SIGINT)

        def interrupt(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            if callable(usual):
                usual(number, frame)

        def too_slow(number: int, frame: FrameType | None) -> None:
            raise TooSlow(f"importing it takes more than {self.seconds:g} s")

        if callable(usual):
            signal.signal(signal.SIGINT, interrupt)
            self._undo.callback(signal.signal, signal.SIGINT, usual)
        if self.seconds and hasattr(signal, "setitimer"):
            before = signal.signal(signal.SIGALRM, too_slow)
            self._undo.callback(signal.signal, signal.SIGALRM, before)
            running = signal.setitimer(signal.ITIMER_REAL, self.seconds)
            self._undo.callback(signal.setitimer, signal.ITIMER_REAL, *running)


def limited() -> Guard:
    """The guard of an import that must be light: it may take `SLOWEST` seconds."""
    return Guard(SLOWEST)


def message_of(error: BaseException) -> str:
    """What an error says, with its type, unless it is our own."""
    if isinstance(error, TooSlow):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
