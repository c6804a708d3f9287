"""The reference of the task language, from the models of `harness.task.spec`."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from generator import components
from generator.installed import built_in
from generator.markdown import anchor, code, joined, note, prose
from generator.options import Links, hints, keys, models_in
from harness.contract import Kind
from harness.task import spec
from harness.task.checkpoint_spec import CheckpointsSpec

INTRODUCTION = Path(__file__).with_name("tasks.md")
_WORDS: dict[Kind, str] = {
    "sae_format": "SAE format",
    "direction": "direction finder",
    "labels": "source of labels",
}


def page() -> str:
    """How a task is written, then every table and key."""
    tables = dict(_tables())
    links = {model: anchor(f"[{path}]") for path, model in tables.items()}
    return joined(
        [
            note("the models of harness.task.spec, and docs/generator/tasks.md"),
            INTRODUCTION.read_text(encoding="utf-8"),
            "## Keys of a task",
            keys(spec.TaskSpec, links),
            *(_table(path, model, links) for path, model in tables.items()),
        ]
    )


def _tables() -> Iterator[tuple[str, type[BaseModel]]]:
    """Every table with the path where a task writes it first, from the outside to the inside."""
    seen: set[type[BaseModel]] = set()
    for name, annotation in hints(spec.TaskSpec).items():
        yield from _below(name, annotation, seen)
        if name == "pairs":
            yield "pairs.NAME with from", CheckpointsSpec


def _below(
    path: str, annotation: Any, seen: set[type[BaseModel]]
) -> Iterator[tuple[str, type[BaseModel]]]:
    named = typing.get_origin(annotation) is dict
    for model in models_in(annotation):
        if model in seen:
            continue
        seen.add(model)
        here = f"{path}.NAME" if named else path
        yield here, model
        for key, inner in hints(model).items():
            yield from _below(f"{here}.{key}", inner, seen)


def _table(path: str, model: type[BaseModel], links: Links) -> str:
    doc = prose(" ".join((model.__doc__ or "").split()))
    parts = [f"## [{path}]", doc, keys(model, links)]
    if issubclass(model, spec.PluginSpec):
        parts.append(_further(model.kind))
    return joined(parts)


def _further(kind: Kind) -> str:
    """A sentence that links to the options that stand beside the core's keys of a table."""
    names = [owned.component.name for owned in built_in().of(kind)]
    if kind == "metric":
        where = {name: f"metrics.md#{anchor(name)}" for name in names}
    else:
        where = {name: f"components.md#{components.places()[kind, name]}" for name in names}
    links = ", ".join(f"[{code(name)}]({where[name]})" for name in names)
    return f"Beside these stand the options of the {_WORDS.get(kind, kind)}: {links}."
