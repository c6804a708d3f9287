"""Models whose fields are described by the docstrings below them, read when somebody asks.

Pydantic has this too (`use_attribute_docstrings`), and reads the source of each class while it is
made: of all classes of a module, in every command, for texts that only few of them show.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema

Docs = Mapping[str, Mapping[str, str]]
"""The docstrings of attributes, by the qualified name of their class."""


class _Fields:
    """`model_fields`: those of the class, each with its description."""

    def __get__(self, instance: object, owner: type[BaseModel]) -> dict[str, FieldInfo]:
        fields = fields_of(owner)
        if any(field.description is None for field in fields.values()):
            for name, text in _described(owner).items():
                if name in fields and fields[name].description is None:
                    fields[name].description = text
        return fields


class Described(BaseModel):
    """A model that is built when it is first used, and described when it is first asked for it."""

    model_config = ConfigDict(defer_build=True)

    model_fields: ClassVar[Any] = _Fields()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, field in cls.model_fields.items():
            key = field.serialization_alias if handler.mode == "serialization" else field.alias
            if field.description and (found := properties.get(key or name)) is not None:
                found.setdefault("description", field.description)
        return schema


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by name, for who wants no descriptions."""
    return model.__pydantic_fields__


@cache
def _described(model: type[BaseModel]) -> Mapping[str, str]:
    """What is written below the fields of a class, or of those that it has them from."""
    found: dict[str, str] = {}
    settled: set[str] = set()
    for one in model.__mro__:
        own = set(inspect.get_annotations(one)) - settled
        if own and issubclass(one, Described):
            docs = _docs(one.__module__, *_source(one)).get(one.__qualname__, {})
            found |= {name: docs[name] for name in own & docs.keys()}
        settled |= own
    return found


def _source(model: type[BaseModel]) -> tuple[str, ...]:
    """The lines of the source of a class's module; none where there is none to be read."""
    module = sys.modules.get(model.__module__)
    try:
        file = inspect.getsourcefile(model) or ""
    except (OSError, TypeError):
        return ()
    return tuple(linecache.getlines(file, module.__dict__ if module else None))


@cache
def _docs(module: str, *lines: str) -> Docs:
    """The docstrings of attributes in the source of a module."""
    try:
        return {name: dict(docs) for name, docs in _classes(ast.parse("".join(lines)), "")}
    except (SyntaxError, ValueError, RecursionError):
        return {}


def _classes(node: ast.AST, around: str) -> Iterator[tuple[str, Iterator[tuple[str, str]]]]:
    """Every class in a tree of source under its qualified name, with its docstrings."""
    for one in ast.iter_child_nodes(node):
        if isinstance(one, ast.ClassDef):
            yield f"{around}{one.name}", _attributes(one)
            yield from _classes(one, f"{around}{one.name}.")
        elif isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _classes(one, f"{around}{one.name}.<locals>.")
        else:
            yield from _classes(one, around)


def _attributes(of: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """The names of a class that have a type and, in the next statement, a text."""
    before: ast.stmt | None = None
    for one in of.body:
        match before, one:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)
        before = one
