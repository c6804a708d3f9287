"""Writes the tables of a drafted task as TOML that people read: comments, short lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.text import for_terminal

WIDTH = 100
"""Columns of a line."""


def comment(text: str) -> str:
    """A comment of one or more lines; what it says may come from outside."""
    lines: list[str] = []
    for word in for_terminal(text, 1000).split():
        if lines and len(lines[-1]) + len(word) < WIDTH - 2:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(f"# {line}" for line in lines)


def table(path: str, keys: Mapping[str, Any]) -> str:
    """A table with its keys."""
    return "\n".join([f"[{path}]", *(f"{key} = {written_value(one)}" for key, one in keys.items())])


def written_value(value: Any) -> str:
    """A value of TOML: text, number, boolean, list or inline table."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for the one character that JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {written_value(one)}" for key, one in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, Sequence):
        return _list([written_value(one) for one in value])
    return repr(value)


def _list(items: Sequence[str]) -> str:
    line = f"[{', '.join(items)}]"
    if len(line) <= WIDTH - 20:
        return line
    lines = [""]
    for item in items:
        if len(lines[-1]) + len(item) > WIDTH - 8:
            lines.append("")
        lines[-1] += f"{item}, "
    return "[\n" + "".join(f"    {one.rstrip()}\n" for one in lines) + "]"
