"""What a worker answers: a result with what it took, or what went wrong."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

from harness import errors
from harness.errors import BadRows, HarnessError, Problem, TaskError
from harness.running.usage import Spent


@dataclass(frozen=True)
class Done:
    """A part that was computed."""

    result: Any
    spent: Spent
    """What models and SAEs did for it, as far as the head has not counted it."""
    tokens: int
    """Tokens that models read and wrote for it."""
    seconds: float
    memory: int | None
    """Bytes that the worker's process holds."""
    notes: tuple[str, ...] = ()
    """What was said of remembered work that was not used."""


@dataclass(frozen=True)
class Failed:
    """A part that was not: the error, as far as it can travel."""

    kind: str
    """The class in `harness.errors`; empty for a bug."""
    text: str
    problems: tuple[Problem, ...] = ()
    trace: str = ""


class WorkerBug(Exception):
    """A bug that showed in a worker; its text ends with the traceback of there."""


def failure(error: Exception) -> Failed:
    """An error as it travels."""
    if isinstance(error, HarnessError):
        kinds = [
            one.__name__
            for one in type(error).__mro__
            # What is wrong with some rows is an error of data elsewhere: nobody has these rows.
            if vars(errors).get(one.__name__) is one and one is not BadRows
        ]
        problems = error.problems if isinstance(error, TaskError) else ()
        return Failed(kinds[0], str(error), problems)
    trace = "".join(traceback.format_exception(error))
    return Failed("", f"{type(error).__name__}: {error}", (), trace)


def raised(failed: Failed, worker: str) -> Exception:
    """The error to be raised at the head, which says where it happened."""
    if not failed.kind:
        return WorkerBug(f"worker {worker}: {failed.text}\n\n{failed.trace}")
    if failed.problems:
        where = [Problem(one.where, f"{one.what} (worker {worker})") for one in failed.problems]
        return TaskError(where)
    made: type[HarnessError] = getattr(errors, failed.kind)
    return made(f"worker {worker}: {failed.text}")
