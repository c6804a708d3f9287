"""What runs were made from, and where that differs: tasks, seeds, hashes, versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.comparison.identity import plain_json
from harness.contract import Results

_SAID = ("claims", "families")
ABSENT = "—"
"""Where a run says nothing of what another one says."""


@dataclass(frozen=True)
class Change:
    """Something that is not the same in all runs, as each says it."""

    what: str
    values: tuple[str, ...]


def changes(runs: Sequence[Results]) -> tuple[Change, ...]:
    """What differs between runs, by its path in the results: status, provenance, task.

    Claims and families are left out: they say what is asked of the numbers, and change none.
    """
    each = [
        dict(
            leaves(
                {
                    "status": run.status,
                    "provenance": run.provenance,
                    "task": {key: value for key, value in run.task.items() if key not in _SAID},
                }
            )
        )
        for run in runs
    ]
    found = []
    for what in dict.fromkeys(key for run in each for key in run):
        values = tuple(run.get(what, ABSENT) for run in each)
        if len(set(values)) > 1:
            found.append(Change(what, values))
    return tuple(found)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every value with its path. A list of names has a path for each, other lists one for all."""
    inside = f"{path}." if path else ""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{inside}{key}")
    elif path.startswith("provenance.") and isinstance(value, (list, tuple)):
        for member in value:
            yield f"{inside}{member}", "present"
    else:
        yield path, value if isinstance(value, str) else plain_json(value)
