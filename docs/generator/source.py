"""What stands in the source of a module, read without importing it."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Field:
    """A field of a class, with the docstring below it."""

    name: str
    type: str
    default: str | None
    doc: str


@dataclass(frozen=True)
class Function:
    """A function, a method or a property."""

    name: str
    signature: str
    doc: str


@dataclass(frozen=True)
class Class:
    """A class with its public members."""

    name: str
    bases: tuple[str, ...]
    doc: str
    fields: tuple[Field, ...]
    methods: tuple[Function, ...]


@dataclass(frozen=True)
class Module:
    """The public members of a module, in the order of the file."""

    doc: str
    classes: tuple[Class, ...]
    functions: tuple[Function, ...]
    aliases: tuple[Field, ...]
    """Names that are given a value or a type, such as `ModelRef`."""

    def get(self, name: str) -> Class | Function:
        """A class or a function by name; KeyError where there is none."""
        members: tuple[Class | Function, ...] = (*self.classes, *self.functions)
        for member in members:
            if member.name == name:
                return member
        raise KeyError(name)


@cache
def module(name: str) -> Module:
    """The source of a module by its import name; only its packages are imported."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(name)
    text = Path(found.origin).read_text(encoding="utf-8")
    body = ast.parse(text).body
    return Module(
        ast.get_docstring(ast.parse(text)) or "",
        tuple(_class(node) for node in body if isinstance(node, ast.ClassDef) and _public(node)),
        tuple(
            _function(node) for node in body if isinstance(node, ast.FunctionDef) and _public(node)
        ),
        tuple(_fields(body)),
    )


def loaded(path: str) -> Class:
    """The class that `package.module:Class` names."""
    where, _, name = path.partition(":")
    found = module(where).get(name)
    assert isinstance(found, Class), f"{path} is no class"
    return found


def _public(node: ast.ClassDef | ast.FunctionDef) -> bool:
    return not node.name.startswith("_")


def _class(node: ast.ClassDef) -> Class:
    methods = (one for one in node.body if isinstance(one, ast.FunctionDef) and _public(one))
    return Class(
        node.name,
        tuple(ast.unparse(base) for base in node.bases),
        ast.get_docstring(node) or "",
        tuple(field for field in _fields(node.body) if field.name != "model_config"),
        tuple(_function(one) for one in methods),
    )


def _function(node: ast.FunctionDef) -> Function:
    decorators = {ast.unparse(one) for one in node.decorator_list}
    returns = _typed(node.returns) if node.returns else "None"
    doc = ast.get_docstring(node) or ""
    if "property" in decorators:
        return Function(node.name, f"{node.name}: {returns}", doc)
    arguments = node.args
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args = arguments.args[1:]
    text = ast.unparse(arguments).replace("'", '"')
    return Function(node.name, f"{node.name}({text}) -> {returns}", doc)


def _fields(body: list[ast.stmt]) -> Iterator[Field]:
    """Assignments with or without a type; a text that follows one is its docstring."""
    for place, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, kind = node.target.id, _typed(node.annotation)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, kind = node.targets[0].id, ""
        else:
            continue
        if not name.startswith("_"):
            default = _typed(node.value) if node.value else None
            yield Field(name, kind, default, _text(body[place + 1 : place + 2]))


def _text(after: list[ast.stmt]) -> str:
    """The docstring that a statement is, or nothing."""
    for node in after:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return " ".join(str(node.value.value).split())
    return ""


def _typed(node: ast.expr) -> str:
    return ast.unparse(node).replace("'", '"')
