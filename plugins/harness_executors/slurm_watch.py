"""The jobs of a crew: submits them, asks what became of them, and remembers them on disk."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.store.files import write_text
from harness.text import for_terminal
from harness_executors.slurm_cluster import Cluster, Seen, Silent, log_of, names, submit_all
from harness_executors.slurm_spool import JOB, Spool
from harness_executors.slurm_words import waits

_TAIL = 4000
"""How many bytes of a log's end are read."""
_GONE = 10.0
"""Seconds that jobs have to end when a run does."""
_LONGEST = 4
"""How many times as long as at first two questions are apart, when nothing happens."""


@dataclass(frozen=True)
class Recorded:
    """The jobs that a head has submitted, as they are on disk."""

    cluster: str
    """Where: `slurm` or `local`."""
    settings: str
    """A hash of the options that they were submitted with."""
    jobs: tuple[str, ...] = ()

    def write(self, spool: Spool) -> None:
        """Keeps it for the next head."""
        told = {"cluster": self.cluster, "settings": self.settings, "jobs": list(self.jobs)}
        write_text(spool.folder / "jobs.json", json.dumps(told) + "\n")


def recorded(spool: Spool) -> Recorded:
    """What an earlier head has submitted: also jobs that it had no time to note, if they began."""
    try:
        told = json.loads((spool.folder / "jobs.json").read_text(encoding="utf-8"))
        known = [job for job in map(str, told["jobs"]) if JOB.fullmatch(job)]
        jobs = dict.fromkeys([*known, *spool.jobs()])
        return Recorded(str(told["cluster"]), str(told["settings"]), tuple(jobs))
    except (OSError, ValueError, KeyError, TypeError):
        return Recorded("", "", tuple(spool.jobs()))


@dataclass(frozen=True)
class Ended:
    """A job that is no more."""

    job: str
    state: str
    """SLURM's word, such as NODE_FAIL."""
    well: bool
    """Whether it ended as it should: told to, or without a part for a while."""
    begun: bool
    """Whether it came as far as our code."""
    log: Path
    tail: str
    """The last lines of the log; empty where there is none."""

    @property
    def last(self) -> str:
        """The last line of the log, for a message."""
        lines = [line for line in self.tail.splitlines() if line.strip()]
        return for_terminal(lines[-1].strip(), 200) if lines else ""


class Watch:
    """The jobs of a crew."""

    def __init__(
        self,
        cluster: Cluster,
        spool: Spool,
        kind: Recorded,
        every: float,
        say: Callable[[str], None],
    ) -> None:
        """`kind` says where jobs run, and with which settings; its jobs don't count."""
        self._cluster = cluster
        self._spool = spool
        self._kind = kind
        self._every = every
        self._say = say
        self._pause = every
        self._next = 0.0
        self._jobs: dict[str, str] = {}  # with the state of an end that was seen once
        self._all: set[str] = set()
        self._said: set[str] = set()
        self._fewer = False

    @property
    def jobs(self) -> list[str]:
        """Jobs that wait or run, as far as is known."""
        return list(self._jobs)

    def adopt(self) -> None:
        """Takes over the jobs that an earlier head of this run has submitted."""
        before = recorded(self._spool)
        if not before.jobs:
            return
        try:
            seen = self._cluster.look(before.jobs)
        except Silent:  # asked again soon
            seen = {job: Seen("UNKNOWN", True) for job in before.jobs}
        self._jobs = {job: "" for job in before.jobs if seen[job].alive}
        self._all.update(self._jobs)
        for job in before.jobs:
            if not seen[job].alive:
                self.clear(job)
        self._note()
        if self._jobs:
            self._say(f"slurm: goes on with jobs of before: {names(self.jobs)}")

    def ensure(self, count: int) -> None:
        """Has at least so many jobs wait or run. Raises UsageError where none can be submitted."""
        here = sum(not self._spool.has_left(job) for job in self._jobs)
        if here >= count or (self._fewer and here):
            return
        jobs, why = submit_all(self._cluster, count - here)
        self._jobs |= dict.fromkeys(jobs, "")
        self._all.update(jobs)
        self._note()
        self._fewer = bool(why)
        fewer = f"; no more than that: {why}" if why else ""
        self._say(f"slurm: submitted {names(jobs)}; logs: {self._spool.logs}{fewer}")
        self._soon()

    def look(self) -> list[Ended]:
        """Jobs that have ended since the last look. SLURM is asked soon after jobs were submitted
        or have ended, and less often while nothing happens."""
        left = [job for job in self._jobs if self._spool.has_left(job)]
        ended = [self._ended(job, "COMPLETED") for job in left]
        for job, seen in self._asked().items():
            if job in left:
                continue
            if seen.alive:
                self._jobs[job] = ""
                self._waits(job, seen)
            elif self._jobs[job] or seen.final:
                ended.append(self._ended(job, seen.state))
            else:  # SLURM may be about to put it back into its queue: it is asked once more
                self._jobs[job] = seen.state
                self._next = time.monotonic() + min(self._every, 5.0)
        for one in ended:
            del self._jobs[one.job]
        if ended:
            self._fewer = False
            self._note()
            self._soon()
        return ended

    def _asked(self) -> dict[str, Seen]:
        """What SLURM says of all jobs; nothing where it isn't time to ask."""
        if time.monotonic() < self._next:
            return {}
        self._pause = min(1.5 * self._pause, _LONGEST * self._every)
        self._next = time.monotonic() + self._pause
        # A job that an earlier head had no time to note may begin only now.
        for job in self._spool.jobs():
            self._jobs.setdefault(job, "")
            self._all.add(job)
        try:
            return dict(self._cluster.look(self.jobs))
        except Silent as silent:
            self._say_once(f"slurm: cannot be asked about its jobs for now: {silent}")
            return {}

    def end(self, jobs: Collection[str]) -> None:
        """Ends jobs, and waits a moment until they are gone. Their parts wait for others."""
        for job in jobs:
            self._spool.dismiss(job)
        alive = list(jobs)
        try:
            alive = self._alive(alive)
            self._cluster.cancel(alive)
            end = time.monotonic() + _GONE
            while (alive := self._alive(alive)) and time.monotonic() < end:
                time.sleep(0.1)
        except Silent as silent:
            self._say(
                f"slurm: jobs could not be cancelled: {silent}. They end by themselves before "
                f"they take another part; at once with: {self._cluster.by_hand(jobs)}"
            )
        for job in jobs:
            self._jobs.pop(job, None)
            if job in alive:  # it reads there that it is to end
                self._return_parts(job)
            else:
                self.clear(job)
        self._note()

    def end_all(self) -> None:
        """Ends all jobs of this head."""
        self.end(sorted(self._all))

    def clear(self, job: str) -> None:
        """Removes what a job that is no more has left; the part that it computed waits again."""
        self._return_parts(job)
        self._spool.bury(job)

    def _return_parts(self, job: str) -> None:
        replied = self._spool.replied()
        for ticket in self._spool.computing(job):
            if ticket.key not in replied:
                self._spool.give_back(job, ticket)

    def _alive(self, jobs: Collection[str]) -> list[str]:
        return [job for job, seen in self._cluster.look(jobs).items() if seen.alive]

    def _ended(self, job: str, state: str) -> Ended:
        log, spool = log_of(self._spool, job), self._spool
        return Ended(job, state, spool.has_left(job), spool.has_begun(job), log, _tail(log))

    def _note(self) -> None:
        kind = self._kind
        Recorded(kind.cluster, kind.settings, tuple(self._jobs)).write(self._spool)

    def _soon(self) -> None:
        self._pause = self._every
        self._next = time.monotonic() + self._pause

    def _waits(self, job: str, seen: Seen) -> None:
        if why := waits(seen.reason):
            array = job.partition("_")[0]
            self._say_once(
                f"slurm: job {array} does not start: {why} ({for_terminal(seen.reason, 60)}). "
                f"To give it up: {self._cluster.by_hand([job])}"
            )

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)


def _tail(log: Path) -> str:
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        return file.read().decode("utf-8", "replace")
    return ""
