"""Jobs as processes of this machine, through submitit's local executor: SLURM without SLURM."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

import submitit

from harness_executors.options import SlurmOptions
from harness_executors.slurm_cluster import PYTHON, Seen
from harness_executors.slurm_spool import Spool
from harness_executors.slurm_worker import Serve

_MANY = 4096
_PATIENCE = 5.0
"""Seconds that a job has to end when it is told so, before it is killed."""


class LocalCluster:
    """This machine. The number of a job is that of a process, which watches over the worker."""

    def __init__(self, options: SlurmOptions, spool: Spool) -> None:
        self._options = options
        self._spool = spool
        self._started: dict[str, submitit.Job[Any]] = {}

    def submit(self, count: int) -> list[str]:
        """Starts so many processes."""
        python = os.environ.get(PYTHON) or None
        executor = submitit.LocalExecutor(self._spool.logs, max_num_timeout=1000, python=python)
        executor.update_parameters(
            timeout_min=self._options.minutes, gpus_per_node=self._options.gpus
        )
        jobs = [
            executor.submit(Serve(), str(self._spool.folder), self._options.idle)
            for _ in range(count)
        ]
        self._started |= {job.job_id: job for job in jobs}
        return [job.job_id for job in jobs]

    def look(self, jobs: Collection[str]) -> Mapping[str, Seen]:
        """Whether the processes are still there."""
        runs, ended = Seen("RUNNING", True), Seen("ENDED", False, final=True)
        return {job: runs if self._alive(job) else ended for job in jobs}

    def cancel(self, jobs: Collection[str]) -> None:
        """Ends processes: with SIGTERM, which the worker hears, too, then as submitit does it."""
        left = [job for job in jobs if self._alive(job)]
        for sent in (signal.SIGTERM, signal.SIGINT):
            for job in left:
                with suppress(ProcessLookupError):
                    os.kill(int(job), sent)
            end = time.monotonic() + _PATIENCE
            while (left := [job for job in left if self._alive(job)]) and time.monotonic() < end:
                time.sleep(0.05)

    def by_hand(self, jobs: Iterable[str]) -> str:
        """The command that ends jobs."""
        return "kill " + " ".join(sorted(jobs))

    def most(self) -> int:
        """There are no arrays here."""
        return _MANY

    def _alive(self, job: str) -> bool:
        """Whether a process is there and is one of ours. One of an earlier head is known by the
        folder in its command line: another process may have got its number."""
        if mine := self._started.get(job):
            # What was started here must be asked for, or it stays as a zombie.
            return bool(mine.get_info()["jobState"] == "RUNNING")
        found = subprocess.run(
            ["ps", "-ww", "-p", job, "-o", "args="], capture_output=True, text=True, check=False
        )
        return str(self._spool.logs) in found.stdout
