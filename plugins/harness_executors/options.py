"""What a task may write in `[executor]` for ours. Imports no torch."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from harness.contract import ByHand, ExecutorOptions, Transport
from harness.errors import unknown
from harness_executors.local_share import may_have_devices


def _ray_address(text: str) -> str:
    """The address as Ray takes it; checked here, as Ray notices some mistakes after minutes."""
    place = text.removeprefix("ray://")
    host, _, port = place.rpartition(":")
    known = re.fullmatch(r"[\w.-]+|\[[0-9A-Fa-f:.]+\]", host) and re.fullmatch(r"\d{1,5}", port)
    if text not in ("auto", "local") and not (known and 0 < int(port) < 65536):
        raise ValueError('must be "auto", "local", "host:6379" or "ray://host:10001"')
    return text


def _ray_amount(amount: float | None) -> float | None:
    """Ray has no 1.5 of anything."""
    if amount is not None and amount > 1 and amount != int(amount):
        raise ValueError("must be a whole number, or less than 1")
    return amount


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
    """Actors on a Ray cluster. Amounts of one thing are fractions below 1, or whole numbers."""

    address: Annotated[
        str | None, AfterValidator(_ray_address), Transport(), ByHand(("auto", "local"))
    ] = None
    """Where the cluster is: `host:6379`; `ray://host:10001` from a machine that is no part of it;
    `auto`, the one that this machine is part of; `local`, one of its own, started on this machine
    and stopped at the end. Without it, what RAY_ADDRESS says, and without that, `local`. A cluster
    runs code in this process, so a task file may name none but the last two."""
    gpus: Annotated[float | None, Field(ge=0, le=64), AfterValidator(_ray_amount)] = None
    """GPUs of a worker: 0.5 puts two on each. Without it, 1 where the cluster has any, else 0."""
    cpus: Annotated[float | None, Field(ge=0, le=1024), AfterValidator(_ray_amount)] = None
    """CPUs of a worker, which are its threads, too. Without it, 1; for `local` with `workers`, its
    share of this machine."""
    resources: dict[str, Annotated[float, Field(gt=0), AfterValidator(_ray_amount)]] = Field(
        default_factory=dict
    )
    """More that a worker needs of what nodes of the cluster offer under names of their own, such as
    `{ big_memory = 1 }`."""
    patience: float = Field(30.0, ge=0, le=86400)
    """Seconds to wait where no node of the cluster could hold a worker: more for a cluster that
    grows when it is asked. For a free place on a node that could, a run waits without end."""


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
    sbatch: Annotated[dict[str, Word | int | Literal[True]], AfterValidator(_known_to_sbatch)] = (
        Field({})
    )
    """More options of `sbatch`, without `--`, such as `{ gres = "gpu:a100:1", nice = 100 }`."""
    largest_array: int | None = Field(None, ge=1, le=1_000_000)
    """How many jobs one array may have; without it, what the site says (MaxArraySize). More workers
    are several arrays."""
    idle: float = Field(300.0, ge=1, le=86400)
    """Seconds that a job waits for another part before it ends by itself, such as between two steps
    of a run, or when the head is gone."""
    ask_every: float = Field(15.0, ge=0.1, le=3600)
    """Seconds between two questions to SLURM, what became of the jobs. One question is for all."""
