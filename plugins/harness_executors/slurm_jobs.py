"""The executor `slurm`: each worker is a job, and parts and replies are files that all nodes see.

Jobs are submitted in arrays, through submitit, and each of them takes part after part as long as
there are some: it loads what it needs once, and waits for no slower job. The head need not be
there all the time: what was replied while it was gone is taken by the next one, which goes on with
the jobs that are still there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.contract import Crew, Outfit, Reply
from harness_executors.options import SlurmOptions
from harness_executors.slurm_cluster import PYTHON, SETUP, Cluster, SlurmCluster
from harness_executors.slurm_here import LocalCluster
from harness_executors.slurm_losses import Losses
from harness_executors.slurm_spool import Damaged, Spool, Ticket, hash_of
from harness_executors.slurm_watch import Recorded, Watch, recorded

_CLUSTERS: dict[str, Callable[[SlurmOptions, Spool], Cluster]] = {
    "slurm": SlurmCluster,
    "local": LocalCluster,
}
_NOT_SETTINGS = {"workers", "largest_array", "idle", "ask_every"}
"""Options that jobs of an earlier head may have had otherwise: they are as good."""
_SOON, _LATE = 0.02, 1.0
"""Seconds between two looks for replies: after one, and when none has come for a while."""


def most_taken(workers: int) -> int:
    """How many parts it takes at most whose replies were not used. Where parts take longer than
    half a second it is two for each worker."""
    return 32 * workers


class Slurm:
    """Workers as SLURM jobs: `[executor] method = "slurm"`."""

    def __init__(self, options: SlurmOptions) -> None:
        self._options = options

    @contextmanager
    def crew(self, outfit: Outfit) -> Iterator[Crew]:
        """The workers of one run. No job is submitted before there is a part for it."""
        options = self._options
        home = outfit.folder.resolve()  # a job begins in another folder
        spool = Spool(home / f"slurm-{hash_of(outfit.text.encode(), digits=16)}")
        kind = Recorded(options.cluster, _settings(options))
        cluster = _CLUSTERS[options.cluster](options, spool)
        _end_others(spool, kind, options, outfit)
        spool.open(outfit.text)
        watch = Watch(cluster, spool, kind, options.ask_every, outfit.say)
        watch.adopt()
        losses = Losses(spool, watch, options.ask_every, outfit.say)
        crew, done = SlurmCrew(options.workers, spool, watch, losses), False
        try:
            yield crew
            done = True
        finally:
            left = len(watch.jobs)
            watch.end_all()
            crew.leave()
            if done or not spool.replied():
                spool.remove(losses.jobs)
            if left and not done:
                outfit.say("slurm: its jobs were ended. The same command goes on from here.")


@dataclass
class _Call:
    """One call of `Crew.compute`."""

    name: str
    numbers: dict[str, list[int]] = field(default_factory=dict)
    """Parts without a reply, by key, with their numbers: equal parts are computed once."""
    parts: dict[str, bytes] = field(default_factory=dict)
    """Their bytes."""
    seen: set[str] = field(default_factory=set)
    """Keys of parts that are on disk, or were: an earlier head or this one has written them."""

    def waiting(self) -> int:
        """How many parts were taken whose replies were not given."""
        return sum(map(len, self.numbers.values()))


class SlurmCrew:
    """Jobs that take parts from a folder."""

    def __init__(self, workers: int, spool: Spool, watch: Watch, losses: Losses) -> None:
        self._workers = workers
        self._spool = spool
        self._watch = watch
        self._losses = losses
        self._given: _Call | None = None
        self._order = 0

    @property
    def size(self) -> int:
        """How many workers there are."""
        return self._workers

    def leave(self) -> None:
        """Drops a call that the head has stopped, perhaps because of the reply that it was given.

        What was taken of it before, the head has. Where nobody has stopped it (the head waited, and
        was interrupted), its replies are kept for the next head.
        """
        if self._given is not None:
            self._spool.finish(self._given.name)
            self._given = None

    def _stop(self) -> None:
        """Has nothing more computed of a call that the head has stopped."""
        self._watch.end([job for job in self._watch.jobs if self._spool.computing(job)])
        self.leave()

    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        """Has every part computed; see `Crew`.

        Replies stay on disk as long as the call lasts: where the head is gone, until the next one
        makes the same call. A head that closes the generator has done with the call.
        """
        if self._given is not None:
            self._stop()
        call = _Call(hash_of(shared, digits=16))
        self._spool.begin(call.name, shared)
        call.seen = self._known()
        try:
            yield from self._replies(call, enumerate(parts))
        except GeneratorExit:
            if self._given is call:  # neither was the block left, nor another call begun
                self._stop()
            raise
        self._spool.finish(call.name)

    def _replies(self, call: _Call, parts: Iterator[tuple[int, bytes]]) -> Iterator[Reply]:
        ahead, pause, more = 2 * self._workers, _SOON, True
        while True:
            while more and call.waiting() < ahead:
                number, part = next(parts, (-1, b""))
                if more := number >= 0:
                    self._ask(call, number, part)
            if not call.numbers:
                return
            came = sorted(self._spool.replied() & call.numbers.keys(), key=call.numbers.__getitem__)
            for key in came:
                yield from self._reply(call, key)
            if self._losses.mend(replied=bool(came)):
                self._put_missing(call)
            self._watch.ensure(min(self._workers, len(call.numbers)))
            # Where parts are short, more of them wait: a job must not wait for the head.
            more_of_them = self._workers + 2 * len(came)
            ahead = min(max(2 * self._workers, more_of_them), most_taken(self._workers))
            if came:
                pause = _SOON
            else:
                time.sleep(pause)
                pause = min(1.5 * pause, _LATE)

    def _ask(self, call: _Call, number: int, part: bytes) -> None:
        """Has a part computed, unless that was asked before: here, or by an earlier head."""
        ticket = Ticket(self._order, call.name, hash_of(part, digits=32))
        call.numbers.setdefault(ticket.key, []).append(number)
        call.parts[ticket.key] = part
        if ticket.key not in call.seen:
            call.seen.add(ticket.key)
            self._spool.put(ticket, part)
            self._order += 1

    def _reply(self, call: _Call, key: str) -> Iterator[Reply]:
        try:
            worker, content = self._spool.reply(key)
        except Damaged:
            self._spool.forget([key])
            self._put_missing(call)
            return
        del call.parts[key]
        for number in call.numbers.pop(key):
            self._given = call
            yield Reply(number, worker, content)
            self._given = None

    def _known(self) -> set[str]:
        """Keys of parts that wait, are being computed, or have a reply."""
        jobs = {*self._spool.jobs(), *self._watch.jobs}
        tickets = [*self._spool.waiting(), *(t for job in jobs for t in self._spool.computing(job))]
        return {ticket.key for ticket in tickets} | self._spool.replied()

    def _put_missing(self, call: _Call) -> None:
        """Writes parts again that are nowhere."""
        known = self._known()
        for key, part in call.parts.items():
            if key not in known:
                self._spool.put(Ticket(self._order, call.name, key.partition("-")[2]), part)
                self._order += 1


def _settings(options: SlurmOptions) -> str:
    """A hash of what jobs are submitted with."""
    told = options.model_dump_json(exclude=_NOT_SETTINGS)
    variables = [os.environ.get(name, "") for name in (PYTHON, SETUP)]
    return hash_of(told.encode(), *(text.encode() for text in variables), digits=16)


def _end_others(spool: Spool, kind: Recorded, options: SlurmOptions, outfit: Outfit) -> None:
    """Ends jobs that were submitted for other workers than these, or with other settings."""
    for folder in sorted(spool.folder.parent.glob("slurm-*")):
        other = Spool(folder)
        before = recorded(other)
        same = (before.cluster, before.settings) == (kind.cluster, kind.settings)
        if folder == spool.folder and same:
            continue
        if before.jobs and before.cluster in _CLUSTERS:
            cluster = _CLUSTERS[before.cluster](options, other)
            outfit.say(f"slurm: {len(before.jobs)} jobs with other settings are ended")
            Watch(cluster, other, before, options.ask_every, outfit.say).end(before.jobs)
        if folder != spool.folder:
            other.remove(())
