"""Where jobs run: what is asked of SLURM, through submitit and SLURM's own commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError, JobPaths

from harness.errors import MachineError, UsageError
from harness_executors.options import SlurmOptions
from harness_executors.slurm_spool import Spool
from harness_executors.slurm_words import ENDED, is_for_now, is_too_many, quoted, refusal
from harness_executors.slurm_worker import Serve

PYTHON = "HARNESS_SLURM_PYTHON"
SETUP = "HARNESS_SLURM_SETUP"
"""Variables of the environment: the python of jobs, and lines of shell that come before it. No keys
of a task, since nobody has to trust a task that a stranger wrote with code."""

_COMMANDS = ("sbatch", "srun", "squeue", "scancel")
_SECONDS = 60
"""How long one of SLURM's commands may take."""
_RESTARTS = 1000
"""How often a job may begin again because its time is up, as submitit counts."""


@dataclass(frozen=True)
class Seen:
    """What became of a job."""

    state: str
    """SLURM's word, such as RUNNING; GONE where nobody knows the job any more."""
    alive: bool
    """Whether it waits, runs, or will begin again."""
    reason: str = ""
    """Why it waits, in SLURM's words."""
    final: bool = False
    """Whether it cannot begin again, now that it has ended."""


class Refused(Exception):
    """No job was taken; the message is what was said."""


class Silent(Exception):
    """Nobody could be asked what became of jobs; the message is what was said."""


class Cluster(Protocol):
    """Where jobs run."""

    def submit(self, count: int) -> list[str]:
        """Submits so many jobs, and gives back their numbers. Raises Refused."""

    def look(self, jobs: Collection[str]) -> Mapping[str, Seen]:
        """What became of jobs. Raises Silent."""

    def cancel(self, jobs: Collection[str]) -> None:
        """Ends jobs that were told to leave. Raises Silent."""

    def by_hand(self, jobs: Iterable[str]) -> str:
        """The command that ends jobs."""

    def most(self) -> int:
        """How many jobs one array may have."""


def log_of(spool: Spool, job: str) -> Path:
    """The log of a job: what it has printed where things go wrong, else all else."""
    paths = JobPaths(spool.logs, job_id=job)
    fails: Path = paths.stderr
    return fails if fails.exists() and fails.stat().st_size else paths.stdout


class SlurmCluster:
    """SLURM, by the commands on the path."""

    def __init__(self, options: SlurmOptions, spool: Spool) -> None:
        missing = [command for command in _COMMANDS if shutil.which(command) is None]
        if missing:
            raise UsageError(
                f"[executor] slurm: there is no {missing[0]!r} on this machine's path. Run the "
                "command on a machine from which jobs are submitted, such as a login node, or set "
                'cluster = "local" to try it on this one.'
            )
        self._options = options
        self._spool = spool

    def submit(self, count: int) -> list[str]:
        """An array of so many jobs; a single job where it is one."""
        executor = submitit.SlurmExecutor(
            self._spool.logs, max_num_timeout=_RESTARTS, python=os.environ.get(PYTHON) or None
        )
        executor.update_parameters(**parameters(self._options, count))
        work = [(str(self._spool.folder), self._options.idle)] * count
        said = StringIO()  # submitit prints what sbatch says, and raises it as well
        try:
            with redirect_stderr(said):
                jobs = executor.map_array(Serve(), *zip(*work, strict=True))
        except (FailedJobError, FailedSubmissionError) as error:
            raise Refused(str(error) or said.getvalue()) from error
        return [job.job_id for job in jobs]

    def look(self, jobs: Collection[str]) -> Mapping[str, Seen]:
        """One call of `squeue`, and one of `sacct` for what it knows no more."""
        arrays = sorted({job.partition("_")[0] for job in jobs})
        if not arrays:
            return {}
        told = _ask("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r", "-j", ",".join(arrays))
        if told.returncode and "Invalid job id" not in told.stderr:
            raise Silent(quoted(told.stderr))
        seen = {}
        for line in told.stdout.splitlines() if not told.returncode else []:
            job, state, reason = [*line.split("|", 2), "", ""][:3]
            seen[job.strip()] = _seen(state, reason)
        lost = {job.partition("_")[0] for job in jobs if job not in seen}
        if lost and shutil.which("sacct"):
            told = _ask(
                "sacct", "-n", "-P", "-X", "-o", "JobID,State", "-j", ",".join(sorted(lost))
            )
            for line in told.stdout.splitlines() if not told.returncode else []:
                job, _, state = line.partition("|")
                seen.setdefault(job.strip(), _seen(state))
        return {job: seen.get(job, Seen("GONE", False)) for job in jobs}

    def cancel(self, jobs: Collection[str]) -> None:
        """`scancel`, with whole arrays where all of them are to end."""
        if jobs:
            told = _ask("scancel", *sorted(jobs))
            if told.returncode and "Invalid job id" not in told.stderr:
                raise Silent(quoted(told.stderr))

    def by_hand(self, jobs: Iterable[str]) -> str:
        """The command that ends jobs."""
        return "scancel " + " ".join(sorted({job.partition("_")[0] for job in jobs}))

    def most(self) -> int:
        """What the task says, or the site (`MaxArraySize`), or 1000."""
        if self._options.largest_array:
            return self._options.largest_array
        try:
            told = _ask("scontrol", "show", "config").stdout
        except Silent:
            told = ""
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", told, re.MULTILINE)
        return max(1, int(found[1])) if found else 1000


def parameters(options: SlurmOptions, count: int) -> dict[str, Any]:
    """What submitit writes into the script, by its own names."""
    given = {
        "job_name": "sae-harness",
        "time": options.minutes,
        "partition": options.partition,
        "account": options.account,
        "qos": options.qos,
        "constraint": options.constraint,
        "gpus_per_node": options.gpus or None,
        "cpus_per_task": options.cpus,
        "mem": None if options.memory is None else f"{max(1, round(options.memory * 1024))}M",
        # SLURM 22.05 and later does not hand on what the script asks for (SchedMD's notes).
        "srun_args": None if options.cpus is None else [f"--cpus-per-task={options.cpus}"],
        "setup": os.environ[SETUP].splitlines() if os.environ.get(SETUP) else None,
        "array_parallelism": count,
        "additional_parameters": {"requeue": True, **options.sbatch},
    }
    return {name: value for name, value in given.items() if value is not None}


def submit_all(cluster: Cluster, count: int) -> tuple[list[str], str]:
    """Submits jobs in arrays that are as large as allowed. Gives back their numbers, and why there
    are fewer than asked for.

    Where a site takes no more jobs of one person, half as many are tried. Raises UsageError where
    not one is taken, and MachineError where SLURM cannot be reached.
    """
    jobs: list[str] = []
    size, waited = min(count, cluster.most()) if count > 1 else count, 0
    while len(jobs) < count:
        try:
            jobs += cluster.submit(min(size, count - len(jobs)))
        except Refused as error:
            said = str(error)
            if is_too_many(said) and size > 1:
                size //= 2
            elif is_for_now(said) and waited < 4:
                waited += 1
                time.sleep(2**waited)
            elif jobs:
                return jobs, quoted(said)
            elif is_for_now(said):
                raise MachineError(
                    f"[executor] slurm: SLURM cannot be reached: {quoted(said)}. What was computed "
                    "is kept; run the same command again later."
                ) from error
            else:
                raise UsageError(refusal(said)) from error
    return jobs, ""


def _seen(state: str, reason: str = "") -> Seen:
    word = (state.split() or ["GONE"])[0].strip("+")  # CANCELLED by 1000
    final = word in ("COMPLETED", "CANCELLED")
    return Seen(word, word not in ENDED and word != "GONE", reason.strip(), final)


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    """Runs one of SLURM's commands."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Silent(quoted(f"{command[0]}: {error}")) from error


def names(jobs: Sequence[str]) -> str:
    """The numbers of jobs for a message: those of an array together."""
    arrays: dict[str, int] = {}
    for job in jobs:
        arrays[job.partition("_")[0]] = arrays.get(job.partition("_")[0], 0) + 1
    return ", ".join(f"{array} ({n} jobs)" if n > 1 else array for array, n in arrays.items())
