"""Shows how far a run is: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

Tick = Callable[[int], None]
PATIENCE = 2.0
"""Seconds that a stage may take without a line about it."""


class Progress:
    """Shows nothing; what shows progress derives from it."""

    def say(self, text: str) -> None:
        """Shows one line of text."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Tick]:
        """A stage of `total` things, 0 where unknown.

        Yields a function to be called with the number of things that were done since its last
        call.
        """
        yield lambda done: None


class LineProgress(Progress):
    """Writes plain lines, one every five seconds at most: for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, text: str) -> None:
        """Writes the line."""
        print(text, file=self._out, flush=True)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Tick]:
        """Writes how far a stage is with the time left, and how long it took if that was long."""
        begun = written = time.monotonic()
        done = 0

        def tick(more: int) -> None:
            nonlocal done, written
            done += more
            now = time.monotonic()
            if now - written <= 5 or not done:
                return
            if not total:
                written = now
                self.say(f"{name}: {done} so far")
            elif done < total:
                written = now
                left = (now - begun) / done * (total - done)
                self.say(f"{name}: {done} of {total}, about {left:.0f} s left")

        yield tick
        spent = time.monotonic() - begun
        if spent > PATIENCE:
            count = f"{total or done} in " if total or done else ""
            self.say(f"{name}: {count}{spent:.0f} s")


class BarProgress(Progress):
    """Draws a bar with the time left: for terminals."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=out)

    def say(self, text: str) -> None:
        """Writes the line above the bar."""
        self._console.print(text, markup=False, highlight=False)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Tick]:
        """Draws a bar while the stage runs, and removes it after."""
        from rich import progress as bars

        columns = (
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=self._console, transient=True) as shown:
            stage = shown.add_task(name, total=total or None)
            yield lambda done: shown.advance(stage, done)


def terminal_progress(out: TextIO) -> Progress:
    """Progress on `out`: a bar where that is a terminal, lines elsewhere."""
    return BarProgress(out) if out.isatty() else LineProgress(out)
