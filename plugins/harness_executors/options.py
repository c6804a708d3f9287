"""What a task may write in `[executor]` for ours. Imports no torch."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from harness.contract import ExecutorOptions, Transport
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

    address: Annotated[str | None, AfterValidator(_ray_address), Transport()] = None
    """Where the cluster is: `host:6379`; `ray://host:10001` from a machine that is no part of it;
    `auto`, the one that this machine is part of; `local`, one of its own, started on this machine
    and stopped at the end. Without it, what RAY_ADDRESS says, and without that, `local`."""
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


class SlurmOptions(ExecutorOptions):
    """Arrays of SLURM jobs."""
