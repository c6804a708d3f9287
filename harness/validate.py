"""Validates a table of a task with a pydantic model and words what is wrong for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.contract import Place, Ref
from harness.errors import Problem, unknown
from harness.taskfile import Source

M = TypeVar("M", bound=BaseModel)
KeyParts = tuple[str | int, ...]


def validated(
    model: type[M], values: Mapping[str, Any], source: Source, at: KeyParts = ()
) -> tuple[M | None, list[Problem]]:
    """The model's instance, or everything that is wrong with the table at `at`.

    Goes through JSON, where strict means what a TOML file means: lists may become tuples, integers
    may stand for floats, but "5" is no number and 1 is no boolean.
    """
    try:
        return model.model_validate_json(json.dumps(values, default=str), strict=True), []
    except ValidationError as error:
        return None, [_problem(model, details, source, at) for details in error.errors()]


def _problem(model: type[BaseModel], error: ErrorDetails, source: Source, at: KeyParts) -> Problem:
    location = error["loc"]
    path = (*at, *(part for part in location if part != "[key]"))
    match error["type"]:
        case "extra_forbidden":
            *around, key = location
            allowed = _fields(model, around)
            return source.problem(path, unknown("key", str(key), allowed))
        case "missing":
            return source.problem(path, "is missing.")
        case "string_pattern_mismatch":
            what = (
                f"{_short(error['input'])} is not allowed; it must match {error['ctx']['pattern']}"
            )
        case "value_error":
            what = error["msg"].removeprefix("Value error, ")
        case _:
            what = f"{error['msg'][:1].lower()}{error['msg'][1:]}, not {_short(error['input'])}"
    return source.problem(path, f"{what}.")


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _fields(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys that the table at `location` inside `model` may have."""
    annotation: Any = model
    for part in location:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(str(part))
            annotation = field.annotation if field else None
        elif get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        elif args := get_args(annotation):
            annotation = args[0]
        if get_origin(annotation) in (Union, UnionType):
            models = [a for a in get_args(annotation) if hasattr(a, "model_fields")]
            annotation = models[0] if models else None
    return list(getattr(annotation, "model_fields", ()))


def marks(model: type[BaseModel]) -> Iterator[tuple[str, Ref | Place]]:
    """The fields of a model that name something else: references and places."""
    for name, field in model.model_fields.items():
        for mark in (*field.metadata, *_inside(field.annotation)):
            if isinstance(mark, (Ref, Place)):
                yield name, mark
                break


def _inside(annotation: object) -> Iterator[object]:
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__  # type: ignore[attr-defined]
    for argument in get_args(annotation):
        yield from _inside(argument)
