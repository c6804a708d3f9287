"""Validates a table of a task with a pydantic model, and says in words what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.contract import Place, Ref
from harness.contract.described import fields_of
from harness.errors import Problem, unknown
from harness.task.file import Source

M = TypeVar("M", bound=BaseModel)
KeyParts = tuple[str | int, ...]


def validated(
    model: type[M],
    values: Mapping[str, Any],
    source: Source,
    at: KeyParts = (),
    also: Sequence[str] = (),
) -> tuple[M | None, list[Problem]]:
    """Validates the table at `at`: an instance of the model, or everything that is wrong.

    The values go through JSON, whose strict types are those of TOML: lists may become tuples and
    integers may stand for floats, but "5" is no number and 1 is no boolean. `also` names keys that
    are allowed in the table beside the model's own, for messages.
    """
    try:
        return model.model_validate_json(json.dumps(values, default=str), strict=True), []
    except ValidationError as error:
        errors: dict[KeyParts, list[ErrorDetails]] = {}
        for details in error.errors():
            errors.setdefault(_written(details, values), []).append(details)
        return None, [
            source.problem((*at, *path), _what(model, path, found, also))
            for path, found in errors.items()
        ]


def _written(error: ErrorDetails, values: Any) -> KeyParts:
    """The path of the wrong key, without the names that pydantic adds for the types it tried."""
    path: list[str | int] = []
    for part in error["loc"]:
        if part == "[key]" and not (isinstance(values, Mapping) and part in values):
            continue
        inside = isinstance(values, Mapping) and part in values
        inside |= isinstance(values, list) and isinstance(part, int) and part < len(values)
        if not inside and error["type"] != "missing":
            break
        path.append(part)
        values = values[part] if inside else None
    return tuple(path)


def _what(
    model: type[BaseModel], path: KeyParts, errors: Sequence[ErrorDetails], also: Sequence[str]
) -> str:
    error = errors[0]
    if len(errors) > 1:
        tried = [_in_toml(e["msg"].removeprefix("Input should be ")) for e in errors]
        return f"should be {' or '.join(tried)}, not {_short(error['input'])}."
    match error["type"]:
        case "extra_forbidden":
            *around, key = path or ("",)
            allowed = [*_fields(model, around), *(() if around else also)]
            return unknown("key", str(key), allowed)
        case "missing":
            return "is missing."
        case "too_short" | "too_long":
            bound = "at least" if error["type"] == "too_short" else "at most"
            length = error["ctx"].get("min_length", error["ctx"].get("max_length"))
            items = "item" if length == 1 else "items"
            return f"should have {bound} {length} {items}, not {error['ctx']['actual_length']}."
        case "string_pattern_mismatch":
            pattern = error["ctx"]["pattern"]
            return f"{_short(error['input'])} is not allowed; it must match {pattern}."
        case "value_error":
            message = error["msg"].removeprefix("Value error, ")
            return message if message.endswith((".", "?")) else f"{message}."
        case _:
            message = f"{error['msg'][:1].lower()}{error['msg'][1:]}"
            return f"{_in_toml(message)}, not {_short(error['input'])}."


def _in_toml(message: str) -> str:
    """Pydantic's words, with what TOML calls such things."""
    return message.replace("an object", "a table").replace("a valid array", "a list")


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _fields(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys that the table at `location` inside `model` may have."""
    annotation: Any = model
    for part in location:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = fields_of(annotation).get(str(part))
            annotation = field.annotation if field else None
        elif get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
        elif args := get_args(annotation):
            annotation = args[0]
        if get_origin(annotation) in (Union, UnionType):
            models = [a for a in get_args(annotation) if hasattr(a, "__pydantic_fields__")]
            annotation = models[0] if models else None
    fields = getattr(annotation, "__pydantic_fields__", {})
    return [field.alias or name for name, field in fields.items()]


@lru_cache(maxsize=4096)
def marks(model: type[BaseModel]) -> tuple[tuple[str, Ref | Place], ...]:
    """The fields of a model that refer to an entry of the task, or hold a path: name and mark."""
    return tuple(_marks(model))


def _marks(model: type[BaseModel]) -> Iterator[tuple[str, Ref | Place]]:
    for name, field in fields_of(model).items():
        for mark in (*field.metadata, *_inside(field.annotation)):
            if isinstance(mark, (Ref, Place)):
                yield name, mark
                break


def words(value: Any) -> Iterator[str]:
    """The names in a field that holds one or several of them."""
    many = value if isinstance(value, (list, tuple)) else [value]
    yield from (word for word in many if isinstance(word, str))


def references(options: BaseModel, table: str) -> Iterator[str]:
    """The entries of a table to which options refer."""
    for key, mark in marks(type(options)):
        if isinstance(mark, Ref) and mark.table == table:
            yield from words(getattr(options, key))


def _inside(annotation: object) -> Iterator[object]:
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__  # type: ignore[attr-defined]
    for argument in get_args(annotation):
        yield from _inside(argument)
