"""Names of components in a draft: written in full where another plugin has the same name.

The templates write ours by their short names. With a stranger's metric `l0` installed, `l0` alone
would be an error of a task that its reader did not write.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from harness.contract import Kind
from harness.errors import PluginError
from harness.registry import Registry
from harness.task.components import SWEPT, TABLES
from harness.task.tables import PluginSpec

_TABLES: Mapping[str, type[PluginSpec]] = {
    **TABLES,
    **{str(name): of for name, of in SWEPT.items()},
}
_HEADER = re.compile(r"\[(\w+)\.(\w+)\]")
_INSIDE = re.compile(r'(?<=intervention = \{ method = ")\w+')
_JUDGES = re.compile(r"evaluators = (\[.*?\])")


def in_full(text: str, registry: Registry) -> str:
    """The text of a draft in which every name is that of our component, and of no other.

    It is the same text where no name needs that.
    """
    values = tomllib.loads(text)
    lines: list[str] = []
    judges: dict[str, None] = {}
    key, short = "", ""
    for line in text.splitlines(keepends=True):
        if header := _HEADER.match(line):
            key, short = "", ""
            table = _TABLES.get(header[1])
            if table is not None and table.key == "method":
                written = values[header[1]][header[2]].get("method")
                key, short = table.kind, written or header[2]
        line = _INSIDE.sub(lambda found: _full(registry, "intervention", found[0]), line)
        if full := _longer(registry, key, short):
            if header and "method" not in values[header[1]][header[2]]:
                line += f'method = "{full}"\n'
            line = line.replace(f'method = "{short}"', f'method = "{full}"')
        if named := _JUDGES.match(line):
            judges.update(dict.fromkeys(tomllib.loads(f"x = {named[1]}")["x"]))
        lines.append(line)
    return "".join([*lines, *_tables(registry, judges, values)])


def _tables(
    registry: Registry, judges: Mapping[str, None], values: Mapping[str, Any]
) -> Iterator[str]:
    """A table for each evaluator that has none, and whose name does not say whose it is."""
    for name in judges:
        full = _longer(registry, "evaluator", name)
        if full and name not in values.get("evaluators", {}):
            yield f'[evaluators.{name}]\nmethod = "{full}"\n'


def _longer(registry: Registry, kind: str, short: str) -> str:
    """The full name; empty where the short one is enough."""
    full = _full(registry, kind, short) if kind else short
    return full if full != short else ""


def _full(registry: Registry, kind: str, short: str) -> str:
    known: Kind = kind  # type: ignore[assignment]
    try:
        return registry.spelled(registry.find(known, short, ours=True))
    except PluginError:
        return short  # said where the task is resolved
