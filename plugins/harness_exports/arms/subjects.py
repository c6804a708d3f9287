"""The models of a run as others name them, without the paths of whoever ran it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from harness.contract import Results
from harness_exports.arms.tables import table

_PLACES = ("path", "gguf", "server_model")
"""The keys of a model's table that say which model it is, as built-in backends call them."""


@dataclass(frozen=True)
class Subject:
    """A model of the task."""

    name: str
    """Its name in the task."""
    place: str
    """Its hub id, the name that a server gives it, or the name of its folder."""
    local: bool
    """Whether it lay in a folder."""
    backend: str
    """What ran it."""
    options: Mapping[str, Any]
    """What else the task says of it; of files on that machine, the last part of the path."""
    fingerprint: str | None
    """A hash of its weights."""
    dtype: str | None
    """What it was computed in."""

    @property
    def id(self) -> str:
        """`google/gemma-2-2b-it`; `local/chat` of a folder, `unknown/chat` of a server."""
        if self.local:
            return f"local/{self.place}"
        return self.place if "/" in self.place else f"unknown/{self.place}"


def subject(results: Results, name: str) -> Subject:
    """A model by its name in the task."""
    entry = table(results.task, "models", name)
    loaded = table(results.provenance, "models", name)
    place = next((entry[key] for key in _PLACES if entry.get(key)), name)
    rest = {
        key: portable(value)
        for key, value in entry.items()
        if key not in ("backend", "expect") and value != place
    }
    fingerprint, dtype = loaded.get("fingerprint"), loaded.get("dtype")
    return Subject(
        name,
        str(portable(place)),
        is_path(place),
        str(entry.get("backend", "transformers")),
        rest,
        None if fingerprint is None else str(fingerprint),
        None if dtype is None else str(dtype),
    )


def model_of(results: Results, view: str) -> str:
    """The model of a view, by their names in the task."""
    return str(table(results.task, "views", view).get("model", view))


def sides(results: Results, model: str) -> list[tuple[str, str]]:
    """The pairs of the task that a model is a side of: `[("base_vs_chat", "right")]`."""
    return [
        (str(name), side)
        for name in table(results.task, "pairs")
        for side in ("left", "right")
        if model_of(results, str(table(results.task, "pairs", name).get(side))) == model
    ]


def is_path(value: object) -> bool:
    """Whether a value is a path on some machine, rather than a hub id."""
    if not isinstance(value, str):
        return False
    return (
        PurePosixPath(value).is_absolute()
        or PureWindowsPath(value).is_absolute()
        or value.startswith((".", "~"))
    )


def portable(value: Any) -> Any:
    """The value with the last part of each path alone: where files lay is nobody's business."""
    if isinstance(value, Mapping):
        return {key: portable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [portable(inner) for inner in value]
    if is_path(value):
        return PureWindowsPath(value).name or value
    return value
