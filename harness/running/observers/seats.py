"""Which observers a run has: those of its task, and objects that were given in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from harness.contract import Observer, ObserverOptions
from harness.errors import HarnessError
from harness.running.observers.channel import Seat
from harness.running.progress import Progress
from harness.task.task import Entry, Task


def seats_of(task: Task, given: Sequence[Observer], progress: Progress) -> Iterator[Seat]:
    """A seat for each observer. Imports what those of the task need.

    One that cannot be imported has a seat all the same: there it is said why. The same observer
    with the same options has one seat, however often it is asked for.
    """
    seated: list[tuple[object, object]] = []
    for name, entry in task.observers.items():
        who = (entry.owner, entry.options)
        if who in seated:
            continue
        seated.append(who)
        with progress.doing(f"importing the observer {name}"):
            yield Seat(f"observers.{name}", _maker(entry), entry.options.patience)
    patience = ObserverOptions().patience
    for observer in given:
        yield Seat(f"observers.{type(observer).__name__}", partial(_itself, observer), patience)


def _maker(entry: Entry[ObserverOptions]) -> Callable[[], Observer]:
    """Makes the observer, or raises what its import has raised."""
    try:
        found: type[Observer] = entry.owner.load()
    except (HarnessError, OSError, MemoryError) as error:
        return partial(_raise, error)
    return partial(_made, found, entry.options)


def _made(found: Callable[[ObserverOptions], Observer], options: ObserverOptions) -> Observer:
    return found(options)


def _itself(observer: Observer) -> Observer:
    return observer


def _raise(error: Exception) -> Observer:
    raise error
