"""What a task may write in `[executor]` for ours. Imports no torch."""

from __future__ import annotations

from typing import ClassVar

from harness.contract import ExecutorOptions


class LocalOptions(ExecutorOptions):
    """Processes of this machine. The process that was started is one of them."""

    local: ClassVar[bool] = True


class RayOptions(ExecutorOptions):
    """Actors on a Ray cluster."""


class SlurmOptions(ExecutorOptions):
    """Arrays of SLURM jobs."""
