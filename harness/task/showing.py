"""A task in one screen: what it reads, what it measures and what it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.task.task import Instance, Task


def title(task: Task) -> str:
    """Its name, and the question that it asks."""
    asked = f": {task.spec.title}" if task.spec.title else ""
    return f"Task {task.spec.name}{asked}"


def rows(task: Task) -> list[tuple[str, str]]:
    """What each of its tables has, those that are empty left out."""
    spec = task.spec
    found = [
        ("source", spec.source),
        ("models", _all(f"{name} ({_depth(task, name)})" for name in spec.models)),
        ("views", _all(f"{name} of {view.model}" for name, view in spec.views.items())),
        ("SAEs", _all(f"{name} at {_site(task, name)}" for name in spec.saes)),
        ("data", _all(spec.data)),
        ("pairs", _all(f"{n}: {p.left} and {p.right} on {p.data}" for n, p in spec.pairs.items())),
        ("metrics", _all(spec.metrics)),
        ("directions", _all(_swept(task.directions))),
        ("statistics", _all(_swept(task.statistics))),
        ("experiments", _all(f"{n}: {e.view} on {e.data}" for n, e in spec.experiments.items())),
        ("analyses", _all(spec.analyses)),
        ("labels", _all(spec.labels)),
        ("gates", _all(spec.gates)),
        ("file", str(task.source.file)),
    ]
    return [(word, text) for word, text in found if text]


def _all(names: Iterable[str]) -> str:
    """The names with how many they are, where they are several."""
    many = list(names)
    return ", ".join(many) if len(many) < 2 else f"{len(many)}: {', '.join(many)}"


def _depth(task: Task, model: str) -> str:
    facts = task.model_facts.get(model)
    if facts is None or facts.layers is None:
        return "blocks unknown"
    return f"{facts.layers} blocks"


def _site(task: Task, sae: str) -> str:
    target = task.places.saes.get(sae)
    return "an unknown site" if target is None else str(target.site)


def _swept(entries: Mapping[str, Sequence[Instance]]) -> Iterator[str]:
    """Entries with how many there are of each, where a sweep makes several."""
    for name, many in entries.items():
        yield name if len(many) == 1 else f"{name} ×{len(many)}"
