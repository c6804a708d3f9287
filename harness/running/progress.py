"""Shows how far a run is: a bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TextIO

from harness.running.pace import Gauge, Pace, remaining
from harness.text import for_terminal

if TYPE_CHECKING:
    from rich import progress as bars
    from rich.text import Text

Tick = Callable[[int], None]
NO_GAUGE = Gauge()
PATIENCE = 2.0
"""Seconds that a stage may take without a line about it."""
_LONGEST = 2000
"""Characters of a line that are shown."""
SOON = 0.5
"""Seconds after which a log says what is being done, where that may be quick."""


class Progress:
    """Shows nothing; what shows progress derives from it."""

    def say(self, text: str) -> None:
        """Shows one line of text."""

    @contextmanager
    def stage(self, name: str, total: int, gauge: Gauge = NO_GAUGE) -> Iterator[Tick]:
        """A stage of `total` things, 0 where unknown; `gauge` tells what else can be shown of it.

        Yields a function to be called with the number of things that were done since its last
        call.
        """
        yield lambda done: None

    @contextmanager
    def doing(self, what: str, after: float = SOON) -> Iterator[None]:
        """Something that takes a while and cannot be counted, such as an import.

        A log has one line of it, once it has lasted `after` seconds.
        """
        yield


class LineProgress(Progress):
    """Writes plain lines, one every five seconds at most: for logs and pipes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, text: str) -> None:
        """Writes the line; what others said in it is hostile."""
        print(for_terminal(text, _LONGEST), file=self._out, flush=True)

    @contextmanager
    def stage(self, name: str, total: int, gauge: Gauge = NO_GAUGE) -> Iterator[Tick]:
        """Writes how far a stage is, how fast it goes and what time is left; and at last how long
        it took, if that was long."""
        begun = written = time.monotonic()
        pace = Pace(begun, total, gauge)

        def tick(more: int) -> None:
            nonlocal written
            now = time.monotonic()
            pace.add(more, now)
            if now - written <= 5 or not pace.done or pace.done == total:
                return
            written = now
            count = f"{pace.done:,} of {total:,}" if total else f"{pace.done:,} so far"
            left = pace.left(now)
            rest = [] if left is None else [f"about {remaining(left)} left"]
            self.say(", ".join([f"{name}: {count}{pace.where()}", *pace.speed(), *rest]))

        yield tick
        spent = time.monotonic() - begun
        if spent > PATIENCE:
            count = f"{total or pace.done:,}{pace.where()} in " if total or pace.done else ""
            self.say(f"{name}: {count}{spent:.0f} s")

    @contextmanager
    def doing(self, what: str, after: float = SOON) -> Iterator[None]:
        """Writes what is being done, unless it has ended before."""
        line = f"harness: {what}"  # in a log of several programs, the first lines say whose it is
        if not after:
            self.say(line)
            yield
            return
        timer = threading.Timer(after, self.say, (line,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


class BarProgress(Progress):
    """Draws a bar with the time left: for terminals."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=out)
        self._stage = ""
        self._retitle: Callable[[str], object] | None = None
        """Changes the text of what is drawn now; None where nothing is."""

    def say(self, text: str) -> None:
        """Writes the line above the bar."""
        self._console.print(for_terminal(text, _LONGEST), markup=False, highlight=False)

    @contextmanager
    def stage(self, name: str, total: int, gauge: Gauge = NO_GAUGE) -> Iterator[Tick]:
        """Draws a bar while the stage runs, and removes it after."""
        from rich import progress as bars

        pace = Pace(time.monotonic(), total, gauge)
        columns = (
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.RenderableColumn(_Beside(pace)),
        )
        with bars.Progress(*columns, console=self._console, transient=True) as shown:
            stage = shown.add_task(name, total=total or None)

            def tick(done: int) -> None:
                pace.add(done, time.monotonic())
                shown.advance(stage, done)

            with self._drawn(name, partial(_retitled, shown, stage)):
                yield tick

    @contextmanager
    def doing(self, what: str, after: float = SOON) -> Iterator[None]:
        """Shows it beside the bar, or by itself where there is none, as long as it lasts."""
        what = for_terminal(what, _LONGEST)
        if (retitle := self._retitle) is not None:
            retitle(f"{self._stage}: {what}")
            try:
                yield
            finally:
                retitle(self._stage)
            return
        from rich.text import Text

        with (
            self._console.status(Text(what)) as shown,
            self._drawn(what, lambda text: shown.update(Text(text))),
        ):
            yield

    @contextmanager
    def _drawn(self, name: str, retitle: Callable[[str], object]) -> Iterator[None]:
        """While something is drawn, it is what shows the rest: two at once are a mess."""
        self._stage, self._retitle = name, retitle
        try:
            yield
        finally:
            self._stage, self._retitle = "", None


class _Beside:
    """What stands beside a bar, as it is at the moment when it is drawn."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def __rich__(self) -> Text:
        from rich.text import Text

        left = self._pace.left(time.monotonic())
        rest = [] if left is None else [f"{remaining(left)} left"]
        where = self._pace.where().strip()
        return Text(" · ".join([*rest, *self._pace.speed(), *([where] if where else [])]))


def _retitled(shown: bars.Progress, stage: bars.TaskID, text: str) -> None:
    shown.update(stage, description=text, refresh=True)


def terminal_progress(out: TextIO) -> Progress:
    """Progress on `out`: a bar where that is a terminal, lines elsewhere."""
    return BarProgress(out) if out.isatty() else LineProgress(out)
