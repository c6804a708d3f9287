"""What a task may write for `choir`. Imports nothing heavy."""

from __future__ import annotations

from harness.contract import ExecutorOptions


class ChoirOptions(ExecutorOptions):
    """Options of `choir`. `workers`, which all executors have, is the one."""

    def size(self) -> int:
        """How many threads there will be: four, unless the task says how many."""
        return self.workers or 4
