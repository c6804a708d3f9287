"""Tables of options and of task keys: name, type, default, meaning."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from generator.markdown import code, joined, table
from harness.contract import JSON, Place, Ref, SiteName
from harness.task.tables import Name, Scalar

_SIMPLE = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any"}
_LIMITS = (
    (annotated_types.Ge, "ge", "≥"),
    (annotated_types.Gt, "gt", ">"),
    (annotated_types.Le, "le", "≤"),
    (annotated_types.Lt, "lt", "<"),
)
_LARGE = 2**53
_NAMED = ((SiteName, "site"), (Name, "name"), (Scalar, "value"), (JSON, "value"))
Links = Mapping[type[BaseModel], str]
"""Where on the page a table of keys stands."""
HEAD = ("key", "type", "default", "meaning")


def options(model: type[BaseModel]) -> str:
    """The options of a component, and below them those of the tables that they hold."""
    parts = [keys(model)]
    for inner in _inside(model):
        parts += [f"`{inner.__name__}`: {' '.join((inner.__doc__ or '').split())}", keys(inner)]
    return joined(parts)


def keys(model: type[BaseModel], links: Links | None = None) -> str:
    """One row for each field; a sentence where there is none."""
    if not model.model_fields:
        return "No options."
    typed = hints(model)
    rows = (
        _row(name, field, type_in_words(typed[name], links or {}))
        for name, field in model.model_fields.items()
    )
    return table(HEAD, rows)


def hints(model: type[BaseModel]) -> dict[str, Any]:
    """The types of the fields as they are written, references and limits included."""
    return typing.get_type_hints(model, include_extras=True)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a value of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from models_in(inner)


def type_in_words(annotation: Any, links: Links) -> str:
    """A type as people call it who write TOML."""
    for known, name in _NAMED:
        if annotation == known:
            return name
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _annotated(links, *inner)
    if origin is Literal:
        return " or ".join(code(json.dumps(value)) for value in inner)
    if origin in (typing.Union, types.UnionType):
        kinds = [type_in_words(one, links) for one in inner if one is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if origin in (tuple, list, frozenset, set):
        return f"list of {type_in_words(inner[0], links)}"
    if origin is dict:
        return f"table of {type_in_words(inner[1], links)}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        name = code(annotation.__name__)
        return f"[{name}](#{links[annotation]})" if annotation in links else name
    return _SIMPLE.get(annotation, str(getattr(annotation, "__name__", annotation)))


def _row(name: str, field: FieldInfo, kind: str) -> tuple[str, ...]:
    kind = _with_limits(kind, field.metadata)
    return code(field.alias or name), kind, _default(field), field.description or ""


def _annotated(links: Links, base: Any, *marks: Any) -> str:
    for mark in marks:
        if isinstance(mark, Ref):
            return f"name of one of `[{mark.table}]`"
        if isinstance(mark, Place):
            return "path or hub id" if mark.hub else "path"
    return _with_limits(type_in_words(base, links), marks)


def _with_limits(text: str, marks: Iterable[Any]) -> str:
    found = [
        f"{sign} {value:g}" if value < _LARGE else ""
        for mark in marks
        for kind, key, sign in _LIMITS
        if isinstance(mark, kind) and (value := getattr(mark, key)) is not None
    ]
    # A limit that is written twice, in the type and in the field, is one.
    found = [limit for limit in dict.fromkeys(found) if limit]
    patterns = (getattr(mark, "pattern", None) for mark in marks)
    found += [f"like `{pattern}`" for pattern in dict.fromkeys(patterns) if pattern]
    return ", ".join([text, *(one for one in found if one not in text)])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, frozenset | set):
        value = sorted(value)
    if value is None or value == () or value == [] or value == {} or value == "":
        return "none"
    return code(json.dumps(value, ensure_ascii=False))


def _inside(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The models inside a model, each once, outer ones first."""
    found: list[type[BaseModel]] = []
    waiting = [model]
    while waiting:
        for annotation in hints(waiting.pop(0)).values():
            for inner in models_in(annotation):
                if inner not in found:
                    found.append(inner)
                    waiting.append(inner)
    return found
