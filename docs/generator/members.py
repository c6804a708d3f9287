"""Sections of a page about classes and functions, from their source."""

from __future__ import annotations

import re
from collections.abc import Iterable

from generator.markdown import code, joined, prose, table
from generator.source import Class, Field, Function


def about_class(found: Class, heading: str = "###") -> str:
    """A class: what it says of itself, its fields and its methods."""
    bases = [base for base in found.bases if base not in ("Protocol", "BaseModel")]
    parts = [f"{heading} {found.name}"]
    if bases:
        parts.append(f"A kind of {', '.join(map(code, bases))}.")
    parts += [prose(found.doc), fields(found.fields)]
    return joined([*parts, methods(found.methods)])


def about_function(found: Function, heading: str = "###") -> str:
    """A function: its signature and docstring."""
    return joined([f"{heading} {found.name}", code(found.signature), prose(found.doc)])


def fields(found: Iterable[Field]) -> str:
    """Fields as a table."""
    rows = [(code(one.name), code(one.type), _default(one), one.doc) for one in found]
    return table(("field", "type", "default", "meaning"), rows) if rows else ""


def _default(field: Field) -> str:
    """A default as it comes out, not as dataclasses write it."""
    if field.default is None or field.default == "field(kw_only=True)":
        return "required"
    factory = re.fullmatch(r"field\(default_factory=(\w+)\)", field.default)
    return code(f"{factory[1]}()" if factory else field.default)


def methods(found: Iterable[Function]) -> str:
    """Methods as a list, each with its docstring."""
    return "\n".join(_item(one) for one in found)


def _item(method: Function) -> str:
    lines = prose(method.doc).splitlines()
    inner = [f"  {line}".rstrip() for line in lines]
    return "\n".join([f"- {code(method.signature)}", "", *inner, ""])
