"""Many questions to one service, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

from harness.web.client import Web

_Question = TypeVar("_Question")
_Answer = TypeVar("_Answer")


def ask_each(
    web: Web,
    questions: Sequence[_Question],
    ask: Callable[[_Question], _Answer],
    keep: Callable[[int, _Answer], None],
    concurrency: int,
) -> None:
    """Asks every question by `ask`, which uses `web`, `concurrency` of them at a time.

    Calls `keep(index, answer)`, in this thread, for each answer as soon as it is there. The first
    question that fails for good ends the others; its error is raised after `keep` was called for
    everything that was answered. So it is after an interrupt.
    """
    failures: list[BaseException] = []

    def one(question: _Question) -> _Answer:
        try:
            return ask(question)
        except BaseException as error:
            failures.append(error)  # the first one is the reason, the others were stopped
            web.stop()
            raise

    with ThreadPoolExecutor(concurrency) as pool:
        asked: dict[Future[_Answer], int] = {}

        def take(future: Future[_Answer]) -> None:
            index = asked.pop(future)
            if future.exception() is None:
                keep(index, future.result())

        try:
            for index, question in enumerate(questions):
                asked[pool.submit(one, question)] = index
            for future in as_completed(list(asked)):
                take(future)
        except BaseException:  # an interrupt, or `keep` failed
            web.stop()
            pool.shutdown(wait=True)
            for future in list(asked):
                take(future)
            raise
    if failures:
        raise failures[0]
