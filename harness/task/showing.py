"""A task in one screen: what it reads, what it measures and what it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.task.spec import TaskSpec


def title(spec: TaskSpec) -> str:
    """Its name, and the question that it asks."""
    asked = f": {spec.title}" if spec.title else ""
    return f"Task {spec.name}{asked}"


def rows(
    spec: TaskSpec,
    blocks: Mapping[str, int | None],
    sites: Mapping[str, object],
    swept: Mapping[str, Mapping[str, int]],
    file: object,
) -> list[tuple[str, str]]:
    """What each of its tables has, those that are empty left out.

    `blocks` of each model and `sites` of each SAE, where they are known; `swept` says of each table
    how many each of its entries is.
    """
    found = [
        ("source", spec.source),
        ("models", _all(f"{name} ({_depth(blocks.get(name))})" for name in spec.models)),
        ("views", _all(f"{name} of {view.model}" for name, view in spec.views.items())),
        ("SAEs", _all(f"{name} at {sites.get(name, 'an unknown site')}" for name in spec.saes)),
        ("data", _all(spec.data)),
        ("pairs", _all(f"{n}: {p.left} and {p.right} on {p.data}" for n, p in spec.pairs.items())),
        ("metrics", _all(spec.metrics)),
        ("directions", _all(_swept(swept["directions"]))),
        ("statistics", _all(_swept(swept["statistics"]))),
        ("experiments", _all(f"{n}: {e.view} on {e.data}" for n, e in spec.experiments.items())),
        ("analyses", _all(_swept(swept["analyses"]))),
        ("labels", _all(spec.labels)),
        ("observers", _all(spec.observers)),
        ("executor", spec.executor.method if spec.executor else ""),
        ("gates", _all(spec.gates)),
        ("written in", str(file)),
    ]
    return [(word, text) for word, text in found if text]


def _all(names: Iterable[str]) -> str:
    """The names with how many they are, where they are several."""
    many = list(names)
    return ", ".join(many) if len(many) < 2 else f"{len(many)}: {', '.join(many)}"


def _depth(blocks: int | None) -> str:
    return "blocks unknown" if blocks is None else f"{blocks} blocks"


def _swept(entries: Mapping[str, int]) -> Iterator[str]:
    """Entries with how many there are of each, where a sweep makes several."""
    for name, many in entries.items():
        yield name if many == 1 else f"{name} ×{many}"
