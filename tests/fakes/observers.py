"""Observers that watch, break, hang, and change what they are given."""

from __future__ import annotations

import dataclasses
import threading
import time

from fakes.lab import LAB
from harness.contract import Event, ObserverOptions, Record


class WitnessOptions(ObserverOptions):
    """Options of all of these."""

    at: str = ""
    """The kind of event at which it does it; at the first one without it."""
    note: str = ""
    """Tells two of them apart."""


class Witness:
    """Keeps what it sees."""

    def __init__(self, options: WitnessOptions) -> None:
        self._options = options

    def see(self, event: Event) -> None:
        LAB.seen.append(event)
        LAB.threads.add(threading.current_thread().name)


class Clumsy(Witness):
    """Raises."""

    def see(self, event: Event) -> None:
        super().see(event)
        if self._options.at in ("", event.kind):
            raise ValueError("I do not\nlike it: hf_abcdefghijklmnopqrstuvwx")


class Broken(Witness):
    """Cannot be made."""

    def __init__(self, options: WitnessOptions) -> None:
        raise SystemExit(3)


class Stuck(Witness):
    """Never comes back, until `LAB.release` is set."""

    def see(self, event: Event) -> None:
        super().see(event)
        if self._options.at in ("", event.kind):
            LAB.release.wait(600)


class Slow(Witness):
    """Takes its time."""

    def see(self, event: Event) -> None:
        time.sleep(0.01)
        super().see(event)


class Meddler(Witness):
    """Changes all that it is given, as far as it can reach."""

    def see(self, event: Event) -> None:
        super().see(event)
        _spoil(event)


def _spoil(thing: object) -> None:
    if dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            value = getattr(thing, field.name)
            _spoil(value)
            if isinstance(value, float) or (isinstance(thing, Record) and field.name == "id"):
                object.__setattr__(thing, field.name, -1.0)
    elif isinstance(thing, dict):
        for value in thing.values():
            _spoil(value)
        thing.clear()
    elif isinstance(thing, list):
        thing.clear()
    elif isinstance(thing, tuple):
        for value in thing:
            _spoil(value)
