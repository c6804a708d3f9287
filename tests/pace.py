"""How much slower this machine is than the one on which bounds on seconds were set."""

from __future__ import annotations

import time

REFERENCE = 0.1
"""Seconds of CPU that `_count` takes there."""


def slower() -> float:
    """How many times slower, at least 1; measured now, for what runs beside it counts, too."""
    begun = time.process_time()
    _count()
    return max(1.0, (time.process_time() - begun) / REFERENCE)


def _count() -> int:
    total = 0
    for number in range(1_000_000):
        total += number * number % 7
    return total
