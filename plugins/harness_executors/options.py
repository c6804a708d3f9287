"""What a task may write in `[executor]` for ours. Imports no torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from harness.contract import ExecutorOptions
from harness.errors import unknown
from harness_executors.local_share import may_have_devices


class LocalOptions(ExecutorOptions):
    """Processes of this machine. The process that was started is one of them.

    Without `workers` there is one for each CUDA device that is visible, or one where there is none.
    """

    local: ClassVar[bool] = True

    def size(self) -> int | None:
        """How many workers there will be; None where there may be devices, which torch counts."""
        if self.workers is not None:
            return self.workers
        return None if may_have_devices() else 1


class RayOptions(ExecutorOptions):
    """Actors on a Ray cluster."""


Word = Annotated[str, Field(pattern=r"^[ -~]+$", max_length=200)]
"""What is written into a script for `sbatch`: one line, so that it can begin no other."""
_SBATCH = (
    "begin",
    "comment",
    "contiguous",
    "core-spec",
    "cores-per-socket",
    "deadline",
    "dependency",
    "distribution",
    "exclude",
    "exclusive",
    "gpu-bind",
    "gpu-freq",
    "gpus",
    "gpus-per-task",
    "gres",
    "hint",
    "licenses",
    "mail-type",
    "mail-user",
    "mem-bind",
    "mem-per-cpu",
    "mem-per-gpu",
    "mincpus",
    "network",
    "nice",
    "nodelist",
    "no-kill",
    "oversubscribe",
    "prefer",
    "priority",
    "reservation",
    "sockets-per-node",
    "switches",
    "thread-spec",
    "threads-per-core",
    "tmp",
    "wckey",
)
"""Options of `sbatch` that a task may write. The others are ours, or would run code or write files
elsewhere: a task that somebody sends you must not."""


def _known_to_sbatch(given: dict[str, str | int]) -> dict[str, str | int]:
    for name in given:
        if name not in _SBATCH:
            raise ValueError(unknown("option of sbatch", name, _SBATCH))
    return given


class SlurmOptions(ExecutorOptions):
    """Arrays of SLURM jobs, submitted from this machine.

    Each job is one worker: it loads what its parts need once, and takes part after part. A job
    whose time is up, or that is preempted, goes back into the queue.
    """

    workers: Annotated[int, Field(ge=1, le=4096)] = 4
    """How many jobs at a time."""
    cluster: Literal["slurm", "local"] = "slurm"
    """`local` runs the jobs as processes of this machine, to try it without SLURM."""
    partition: Word | None = None
    """The partition; without it, the site's default. `sinfo` lists them."""
    account: Word | None = None
    """Whose account pays for the jobs; without it, your default."""
    qos: Word | None = None
    """The quality of service; without it, your default."""
    constraint: Word | None = None
    """What nodes must have, such as `a100|h100`."""
    gpus: int = Field(1, ge=0, le=16)
    """How many GPUs each job gets; 0 for nodes without."""
    cpus: int | None = Field(None, ge=1, le=1024)
    """How many cores each job gets; without it, as many as the site gives."""
    memory: float | None = Field(None, gt=0, le=65536)
    """Memory of each job in GB (2³⁰ bytes); without it, what the site gives."""
    minutes: int = Field(60, ge=2, le=43200)
    """How long a job may run, in minutes. It then goes on in another one, and loses the part that
    it was computing: more than a few parts take. What asks for less time often starts sooner."""
    sbatch: Annotated[
        dict[str, Word | int | Literal[True]], AfterValidator(_known_to_sbatch), Field(default={})
    ]
    """More options of `sbatch`, without `--`, such as `{ gres = "gpu:a100:1", nice = 100 }`."""
    largest_array: int | None = Field(None, ge=1, le=1_000_000)
    """How many jobs one array may have; without it, what the site says (MaxArraySize). More workers
    are several arrays."""
    idle: float = Field(300.0, ge=1, le=86400)
    """Seconds that a job waits for another part before it ends by itself, such as between two steps
    of a run, or when the head is gone."""
    ask_every: float = Field(15.0, ge=0.1, le=3600)
    """Seconds between two questions to SLURM, what became of the jobs. One question is for all."""
