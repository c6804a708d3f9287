"""Progress on the terminal: a bar with the time left, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

Tick = Callable[[int], None]
PATIENCE = 2.0
"""Seconds after which a stage says how far it is."""


class Progress:
    """Where a run is. This one is silent; `terminal_progress` makes one that speaks."""

    def say(self, text: str) -> None:
        """One line for the reader."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Tick]:
        """A stage of `total` things; call what it yields with the number just done."""
        yield lambda done: None


class LineProgress(Progress):
    """Plain lines, at most one every few seconds: for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, text: str) -> None:
        """Writes the line."""
        self._out.write(f"{text}\n")
        self._out.flush()

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Tick]:
        """Says when a stage that takes longer than two seconds began, goes on and ended."""
        begun = said = time.monotonic()
        done = 0

        def tick(more: int) -> None:
            nonlocal done, said
            done += more
            now = time.monotonic()
            if now - said > 5 and 0 < done < total:
                said = now
                left = (now - begun) / done * (total - done)
                self.say(f"{name}: {done} of {total}, about {left:.0f} s left")

        yield tick
        spent = time.monotonic() - begun
        if spent > PATIENCE:
            self.say(f"{name}: {total} in {spent:.0f} s")


class BarProgress(Progress):
    """A bar with the time left: for terminals."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=out)

    def say(self, text: str) -> None:
        """Writes the line above the bar."""
        self._console.print(text, markup=False, highlight=False)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Tick]:
        """Shows a bar while the stage runs."""
        from rich import progress as bars

        columns = (
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=self._console, transient=True) as shown:
            stage = shown.add_task(name, total=total)
            yield lambda done: shown.advance(stage, done)


def terminal_progress(out: TextIO) -> Progress:
    """A bar on a terminal, lines elsewhere."""
    return BarProgress(out) if out.isatty() else LineProgress(out)
