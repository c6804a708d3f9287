"""What one turn took: by the clock on the wall, of the processor, and in pages of memory."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Time:
    """Seconds of one turn: by the clock on the wall, and of all threads of this process."""

    wall: float
    cpu: float
    faults: int = 0
    """Pages of memory that the system had to give (minor faults)."""


def wait(device: str) -> None:
    """Until a GPU has done what it was given."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()


def timed(run: Callable[[], Any], device: str = "cpu") -> Time:
    """One turn, from an idle device to an idle device; what was garbage before is gone."""
    gc.collect()
    wait(device)
    faults, wall, cpu = _faults(), time.perf_counter(), time.process_time()
    run()
    wait(device)
    return Time(time.perf_counter() - wall, time.process_time() - cpu, _faults() - faults)


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
