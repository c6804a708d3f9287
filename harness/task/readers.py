"""Directions that are read with other vectors than their own, and what cannot take them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from harness.contract import DirectionOptions
from harness.task.causes import Misfit

if TYPE_CHECKING:
    from harness.contract import InterventionOptions
    from harness.task.task import Entry, Task
    from harness.task.validate import KeyParts


def unreadable(
    task: Task, entry: Entry[InterventionOptions], directions: Iterable[str], at: KeyParts
) -> Iterator[Misfit]:
    """Directions that an intervention would read with the wrong vectors."""
    if not entry.options.reads_vectors():
        return
    for name in directions:
        for one in task.directions.get(name, ())[:1]:
            if isinstance(one.options, DirectionOptions) and one.options.own_readers:
                yield Misfit(
                    at,
                    f"{name} is read with other vectors than its own ({one.owner}), and "
                    f"{entry.owner} reads with its own. Allowed: concept_erasure, and what only "
                    "adds, such as addition. Use another intervention, or another direction.",
                )
