"""What this machine has, of which all workers on it have a share."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """A machine, as far as it tells."""

    threads: int
    """That may run at once."""
    memory: int | None = None
    """Bytes; None where it does not say."""


def this_machine() -> Machine:
    """The machine that this process runs on, with the processors that it may use."""
    try:
        threads = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on macOS and Windows
        threads = os.cpu_count() or 1
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = None
    return Machine(threads, memory)
