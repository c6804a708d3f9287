"""All observers of a run: what is told to one is told to each of them."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from harness.contract import (
    Effort,
    Event,
    Progress,
    RunFailed,
    ShardFinished,
    StageFinished,
    StageStarted,
    Stamp,
    Warned,
)
from harness.errors import HarnessError
from harness.running.observers.channel import Channel, Seat
from harness.running.observers.masking import Mask
from harness.running.progress import Tick
from harness.running.usage import resident

OFTEN = 0.5
"""Seconds between two events of progress of a stage, at least."""
_INTERRUPTED, _BUG = 130, 70


class Audience:
    """The observers of a run. One without observers takes no time and tells nobody."""

    def __init__(
        self,
        seats: Sequence[Seat] = (),
        tokens: Callable[[str | None], int] = lambda stage: 0,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`tokens` says how many were read in a stage or, given None, in all; `say` shows a line
        about an observer to whoever started the run."""
        self.notes: list[str] = []
        """What must be said of the observers themselves."""
        self._run = uuid.uuid4().hex[:16]
        self._numbers = itertools.count()
        self._begun = time.monotonic()
        self._tokens = tokens
        self._say = say
        mask = Mask.of() if seats else Mask()
        self._channels = tuple(Channel(seat, mask, self._note) for seat in seats)
        for channel in self._channels:
            channel.start()

    @property
    def listening(self) -> bool:
        """Whether there is anyone to tell."""
        return bool(self._channels)

    def stamp(self) -> Stamp:
        """The stamp of the next event."""
        return Stamp(self._run, next(self._numbers), time.time())

    def part(self, stage: str, worker: str | None, shard: int, effort: Effort) -> None:
        """Tells that a part of a stage was computed, and by whom."""
        if self.listening:
            stamp = replace(self.stamp(), worker=worker, shard=shard)
            self.tell(ShardFinished(stamp, stage, effort))

    def tell(self, event: Event) -> None:
        """Tells all of an event: queues it for each, and waits for nobody."""
        for channel in self._channels:
            channel.put(event)

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Tick]:
        """Tells that a stage of `total` things (0: unknown) begins, how far it is, and its end.

        Yields a function to be called with the number of things done since its last call.
        """
        if not self.listening:
            yield lambda done: None
            return
        known, begun = total or None, time.monotonic()
        done, told = 0, begun
        before = self._tokens(name)

        def tick(more: int) -> None:
            nonlocal done, told
            done += more
            now = time.monotonic()
            if now - told >= OFTEN:
                told = now
                took = self._effort(begun, self._tokens(name) - before)
                self.tell(Progress(self.stamp(), name, done, known, took))

        self.tell(StageStarted(self.stamp(), name, known))
        try:
            yield tick
        finally:
            took = self._effort(begun, self._tokens(name) - before)
            self.tell(StageFinished(self.stamp(), name, done, known, took))

    def effort(self) -> Effort:
        """What the run took so far."""
        return self._effort(self._begun, self._tokens(None))

    def fail(self, error: BaseException) -> None:
        """Tells that an error, or a person, ended the run."""
        if isinstance(error, HarnessError):
            text, code = str(error), error.exit_code
        elif isinstance(error, KeyboardInterrupt):
            text, code = "interrupted", _INTERRUPTED
        else:
            text, code = f"{type(error).__name__}: {error}", _BUG
        self.tell(RunFailed(self.stamp(), text, code, self.effort()))

    def close(self) -> None:
        """Waits for the observers to take what they were told, as long as each one's patience.

        All of them are waited for at once. What must be said of them is in `notes` afterwards.
        """
        now = time.monotonic()
        for channel in sorted(self._channels, key=lambda one: one.seat.patience):
            if said := channel.close(now + channel.seat.patience):
                self.notes.append(said)
                self._say(said)

    def _note(self, text: str) -> None:
        """Keeps what an observer's thread says, shows it, and tells the other observers."""
        self.notes.append(text)
        self._say(text)
        self.tell(Warned(self.stamp(), text))

    def _effort(self, since: float, tokens: int) -> Effort:
        seconds = time.monotonic() - since
        rate = tokens / seconds if tokens and seconds > 0 else None
        return Effort(seconds, tokens, rate, resident())


@contextmanager
def attended(audience: Audience) -> Iterator[None]:
    """A run that an audience sees: tells it of an error in the block, and waits for it at the end.

    The block tells of its beginning and of its good end.
    """
    try:
        yield
    except BaseException as error:
        audience.fail(error)
        raise
    finally:
        audience.close()
