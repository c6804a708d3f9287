"""The executor `local`: processes of this machine, of which the head is the first."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from harness.contract import Crew, Outfit, Reply, Worker
from harness.errors import UsageError
from harness_executors.local_desk import Desk, Job
from harness_executors.local_minder import Minder
from harness_executors.local_share import (
    Share,
    cores,
    cuda_devices,
    kept_to,
    may_have_devices,
    shares,
    threads_here,
)
from harness_executors.options import LocalOptions

AHEAD = 2
"""How many parts lie ready for each process beside the head, next to the one that it is at: the
head is at a part, too, and makes no new ones meanwhile."""


def most_taken(workers: int) -> int:
    """How many parts may have been taken whose replies were not used."""
    return 1 + (workers - 1) * (1 + AHEAD)


class Local:
    """Computes in this process, and in `workers - 1` others beside it.

    Each has its own models. On CUDA each has its own devices; all divide the cores. A process that
    ends (no memory, killed) is started anew.
    """

    def __init__(self, options: LocalOptions) -> None:
        self._options = options

    @contextmanager
    def crew(self, outfit: Outfit) -> Iterator[Crew]:
        """The workers. Those beside the head start when there is a second part to compute."""
        devices = cuda_devices() if may_have_devices() else ()
        workers = self._options.workers or max(1, len(devices))
        if workers == 1:
            yield Alone(outfit.here)
            return
        if not hasattr(os, "killpg"):
            raise UsageError(
                f"executor.workers: {workers} processes cannot be started on this system. Allowed "
                "is 1; leave `workers` out, or use Linux or macOS."
            )
        given = shares(devices, workers, threads_here())
        with kept_to(given[0], devices) as able:
            for line in _remarks(devices, workers, able):
                outfit.say(f"executor local: {line}")
            crew = Several(outfit, given)
            try:
                yield crew
            finally:
                crew.end()


class Alone:
    """The head's own worker, with nobody beside it."""

    size = 1

    def __init__(self, here: Worker) -> None:
        self._here = here

    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        """One part after the other."""
        name = _name(0)
        for number, part in enumerate(parts):
            yield Reply(number, name, self._here.work(shared, part))


class Several:
    """The head's worker, and one process for each further share."""

    def __init__(self, outfit: Outfit, given: Sequence[Share]) -> None:
        self._here = outfit.here
        self._folder = outfit.folder
        self._desk = Desk()
        self._minders = [
            Minder(_name(number), share, outfit, self._desk, _log(outfit.folder, number))
            for number, share in enumerate(given[1:], start=1)
        ]

    @property
    def size(self) -> int:
        """The head counts."""
        return 1 + len(self._minders)

    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        """The head takes a part when enough lie ready for the others and no reply is there.

        Parts are made and computed in the thread of the caller. What another process is at when a
        call is stopped it ends, and the reply is dropped.
        """
        desk, call = self._desk, self._desk.begin()
        jobs = (Job(call, shared, number, part) for number, part in zip(count(), parts))
        most = most_taken(self.size)
        try:
            while True:
                yield from desk.collect()
                if desk.open < most and (job := next(jobs, None)) is not None:
                    desk.lay(job)
                elif (mine := desk.take_home()) is not None:
                    content = self._here.work(shared, mine.content)
                    yield Reply(mine.part, _name(0), content)
                elif desk.open:
                    yield from desk.collect(wait=True)
                else:
                    return
        finally:
            desk.begin()

    def end(self) -> None:
        """Ends all processes and threads."""
        self._desk.end()
        for minder in self._minders:
            minder.end()
        for minder in self._minders:
            minder.join()
        with suppress(OSError):
            self._folder.rmdir()  # where nothing is in it


def _name(number: int) -> str:
    return f"{socket.gethostname()}/{number + 1}"


def _log(folder: Path, number: int) -> Path:
    return folder / f"worker-{number + 1}.log"


def _remarks(devices: Sequence[str], workers: int, able: bool) -> Iterator[str]:
    """What a person may not have meant."""
    if devices and workers > len(devices):
        yield (
            f"{workers} workers share {len(devices)} CUDA devices, and each keeps its own models "
            "there."
        )
    if not devices and workers > cores():
        yield (
            f"{workers} workers share {cores()} cores: no faster than {cores()} workers, and each "
            "keeps its own models in memory."
        )
    if not able:
        yield (
            "this process has used CUDA before, and so sees the devices of the other workers, too."
        )
