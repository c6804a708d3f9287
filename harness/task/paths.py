"""Paths in a task: beside the file that wrote them, or ids on the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from harness.contract import Place
from harness.errors import Problem
from harness.task.validate import marks

if TYPE_CHECKING:
    from harness.task.file import Source
    from harness.task.validate import KeyParts


def located(
    model: type[BaseModel], values: Mapping[str, Any], at: KeyParts, source: Source
) -> tuple[dict[str, Any], list[Problem]]:
    """The table at `at` with its paths made absolute, and a problem for each that is not there.

    The fields of `model` say which values are paths.
    """
    found, problems = dict(values), []
    for key, mark in marks(model):
        text = values.get(key)
        if isinstance(mark, Place) and isinstance(text, str):
            place = locate(text, (*at, key), source, hub=mark.hub)
            if isinstance(place, Problem):
                problems.append(place)
            else:
                found[key] = place
    return found, problems


def locate(text: str, at: KeyParts, source: Source, *, hub: bool) -> str | Problem:
    """The absolute path, or with `hub` the id on the hub, that stands at `at`."""
    origin = source.origin(at)
    folder = origin.file.parent if origin.file else Path.cwd()
    try:
        path = (folder / Path(text).expanduser()).resolve()
        if path.exists():
            return str(path)
        beside = (folder / text.partition("/")[0]).exists()
    except (OSError, ValueError, RuntimeError):
        beside = True
    if hub and not beside and re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", text):
        return text
    base = str(folder) if origin.file else "the working folder"
    what = "no such file or folder" + (", and it is no hub id" if hub else "")
    return source.problem(at, f"{text!r}: {what}. Paths are relative to {base}.")
