"""What one turn takes: seconds on the wall and of the processor, and pages of memory."""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Time:
    """Seconds of one turn: by the clock on the wall, and of all threads of this process."""

    wall: float
    cpu: float
    faults: int = 0
    """Pages of memory that the system had to give."""


def wait(device: str) -> None:
    """Until a GPU has done what it was given."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()


def timed(run: Callable[[], Any], device: str = "cpu") -> Time:
    """One turn, from an idle device to an idle device; what was garbage before is gone."""
    gc.collect()
    wait(device)
    faults = _faults()
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wait(device)
    return Time(time.perf_counter() - wall, time.process_time() - cpu, _faults() - faults)


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def median_wall(times: Iterable[Time]) -> float:
    """The median of the seconds on the wall."""
    return statistics.median(one.wall for one in times)
