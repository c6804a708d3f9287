"""Pauses before a server is asked again: how long they are, and who hears of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any, TypeVar

from harness.text import for_terminal

LONGEST_ASKED = 600.0
"""The longest pause, in seconds, that a server may ask for (Retry-After) and is waited for."""
FIRST_PAUSE = 1.0
"""Seconds before the first retry; each further pause is twice as long, and a bit more by chance."""
LONGEST_PAUSE = 60.0
WORTH_TELLING = 4.0
"""Pauses that are shorter, in seconds, are made without a word."""
PASSING = frozenset({408, 425, 429})
"""Statuses below 500 that another try may change."""
_Answer = TypeVar("_Answer")
_say: ContextVar[Callable[[str], None]] = ContextVar("_say", default=lambda text: None)


@contextmanager
def telling(say: Callable[[str], None]) -> Iterator[None]:
    """In the block, whoever waits for a server says so in a line: what asks, and for how long."""
    before = _say.set(say)
    try:
        yield
    finally:
        _say.reset(before)


def patiently(ask: Callable[[], _Answer], what: str, retries: int = 5) -> _Answer:
    """What a library's function gives that asks a server; asked again while that is busy.

    An error that was answered 408, 425, 429 or from 500 upwards is waited for, as `Web` does and
    as long as the server asks; after `retries` it is raised, as any other is at once.
    """
    for attempt in range(retries):
        try:
            return ask()
        except Exception as error:
            response = response_of(error)
            status = getattr(response, "status_code", 0)
            if status not in PASSING and status < 500:
                raise
            asked = asked_pause(response.headers.get("Retry-After"))
            if asked > LONGEST_ASKED:
                raise
        pause = max(asked, pause_before(attempt))
        announce(listener(), what, f"answered {status}", pause)
        Event().wait(pause)
    return ask()


def response_of(error: BaseException) -> Any:
    """The answer of a server that an error is about, or one that it came from; None without one."""
    return next((r for one in chain(error) if (r := getattr(one, "response", None))), None)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it came from, and so on."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def listener() -> Callable[[str], None]:
    """What hears of pauses here and now."""
    return _say.get()


def announce(say: Callable[[str], None], where: str, what: str, pause: float) -> None:
    """Says of a pause that is long enough to wonder about which server asks for it, and why."""
    if pause >= WORTH_TELLING:
        say(for_terminal(f"{where}: {what}. Asked again in {pause:.0f} s; Ctrl-C ends the run."))


def pause_before(attempt: int) -> float:
    """Seconds before the next try where the server asks for none."""
    # Past 2^6 every pause is the longest one.
    return min(LONGEST_PAUSE, FIRST_PAUSE * (2.0 ** min(attempt, 6) + random.random()))


def asked_pause(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, given as seconds or as a date; 0 for neither."""
    if header is None:
        return 0.0
    try:
        if header.strip().isdecimal():
            return float(header)
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
