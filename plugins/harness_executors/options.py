"""What a task may write in `[executor]` for ours. Imports no torch."""

from __future__ import annotations

from typing import ClassVar

from harness.contract import ExecutorOptions
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


class SlurmOptions(ExecutorOptions):
    """Arrays of SLURM jobs."""
