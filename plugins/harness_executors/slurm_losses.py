"""What is lost with a job that ends, and when there were too many of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from harness.errors import MachineError, UsageError
from harness.text import for_terminal
from harness_executors.slurm_spool import Spool, Ticket
from harness_executors.slurm_watch import Ended, Watch
from harness_executors.slurm_worker import TRIES


class Losses:
    """Has the parts of jobs that ended computed by others, three times at most."""

    def __init__(
        self, spool: Spool, watch: Watch, every: float, say: Callable[[str], None]
    ) -> None:
        self._spool = spool
        self._watch = watch
        self._every = every
        self._say = say
        self._useless = 0
        self._next = 0.0
        self.jobs: list[str] = []
        """Jobs that ended otherwise than they should: their logs are kept."""

    def mend(self, replied: bool) -> bool:
        """Looks which jobs have ended, and gives their parts to others. Whether there were any.

        `replied`: whether a reply has come since the last time. Raises MachineError where three
        jobs ended over one part, or three times in a row jobs ended without having begun one;
        UsageError where their python lacks us.
        """
        if replied:
            self._useless = 0
        ended = self._watch.look()
        useless = [one for one in ended if not self._give_back(one) and not one.well]
        if useless:
            self._useless += 1
            if lacks := re.search(r"No module named '(harness\w*|submitit)", useless[-1].tail):
                raise UsageError(_lacking(useless[-1], lacks[1]))
            if self._useless >= TRIES:
                raise MachineError(_never_begin(useless[-1]))
        self._check_restarts()
        return bool(ended)

    def _give_back(self, one: Ended) -> bool:
        """Whether a job that ended was computing a part: it waits for another one."""
        replied = self._spool.replied()
        lost = [t for t in self._spool.computing(one.job) if t.key not in replied]
        again = [self._spool.give_back(one.job, ticket) for ticket in lost]
        self._spool.bury(one.job)
        if not one.well:
            self.jobs.append(one.job)
            self._say(
                f"slurm: job {one.job} ended ({for_terminal(one.state, 30)})"
                f"{'; its part goes to another one' if again else ''}. Log: {one.log}"
            )
        for ticket in again:
            if ticket.tries >= TRIES:
                raise MachineError(_too_often(one, ticket))
        return bool(again)

    def _check_restarts(self) -> None:
        """A part that takes longer than a job may run, or than others let it, is never done."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every
        for job in self._watch.jobs:
            for ticket in self._spool.computing(job):
                if ticket.tries >= TRIES and ticket.key not in self._spool.replied():
                    raise MachineError(
                        f"[executor] slurm: job {job} began again {ticket.tries} times over one "
                        "part, since its time was up or others went before it. Give it more "
                        "`minutes`, or set smaller sizes in [batch], and run the same command "
                        "again: what was computed is kept."
                    )


def _lacking(one: Ended, package: str) -> str:
    return (
        f"[executor] slurm: the python of job {one.job} has no package {package!r}. Jobs need the "
        "environment that this command has, in a folder that all nodes see. Install it there, or "
        f"name its python in the variable HARNESS_SLURM_PYTHON. Log: {one.log}"
    )


def _never_begin(one: Ended) -> str:
    state = for_terminal(one.state, 30)
    ends = f"[executor] slurm: jobs end before they compute anything: {one.job} is {state}"
    if not one.tail:
        return (
            f"{ends}, and left no log. Do all nodes see {one.log.parent}? It must be on a file "
            "system that they share: name such a folder with --out. What was computed is kept."
        )
    return (
        f"{ends}: {one.last}. Its log is {one.log}. Run the same command again when that is "
        "mended: what was computed is kept."
    )


def _too_often(one: Ended, ticket: Ticket) -> str:
    why = f" ({one.last})" if one.last else ""
    memory = " Give them more `memory`." if one.state == "OUT_OF_MEMORY" else ""
    return (
        f"[executor] slurm: {ticket.tries} jobs ended over one part, the last one, {one.job}, as "
        f"{for_terminal(one.state, 30)}{why}. Its log is {one.log}.{memory} Run the same command "
        "again when that is mended: what was computed is kept."
    )
