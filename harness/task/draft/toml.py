"""Writes the tables of a drafted task as TOML that people read: comments, short lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.text import for_terminal

WIDTH = 100
"""Columns of a line."""


def headline(text: str) -> str:
    """The comment that begins a part of the file."""
    return f"# ── {text} ".ljust(WIDTH, "─")


def comment(text: str) -> str:
    """A comment of one or more lines; what it says may come from outside."""
    lines: list[str] = []
    for word in for_terminal(text, 1000).split():
        if lines and len(lines[-1]) + len(word) < WIDTH - 2:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(f"# {line}" for line in lines)


def table(path: str, keys: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> str:
    """A table with its keys, each with a note behind it where there is one."""
    lines = [f"[{path}]"]
    for key, value in keys.items():
        written = f"{key} = {written_value(value)}"
        note = (notes or {}).get(key)
        lines.append(f"{written:<39} # {note}" if note else written)
    return "\n".join(lines)


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


def joined(parts: Iterable[str]) -> str:
    """The whole file: an empty line before each part that begins with a headline."""
    text = ""
    for part in parts:
        text += f"\n{part}\n" if part.startswith("# ──") else f"{part}\n"
    return text
