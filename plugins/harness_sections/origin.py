"""What ran: models, versions, command, and the task in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tomli_w

from harness.contract import JSON, Grid, Panel, Results
from harness_sections.plain import PlainSection

_TABLES = ("models", "saes", "data", "packages", "plugins")


class Origin(PlainSection):
    """Everything that would have to be the same to get these numbers again."""

    def panel(self, results: Results) -> Panel | None:
        """The run, what it loaded, the versions, and the task."""
        origin = results.provenance
        run: list[list[JSON]] = [
            [key, _text(value)] for key, value in origin.items() if key not in _TABLES
        ]
        loaded: list[list[JSON]] = [
            [f"{table}.{name}", *_fingerprint(value)]
            for table in ("models", "saes", "data")
            for name, value in (origin.get(table) or {}).items()
        ]
        versions: list[list[JSON]] = [
            [name, _text(value)]
            for table in ("packages", "plugins")
            for name, value in (origin.get(table) or {}).items()
        ]
        grids = [
            Grid("The run", ("what", "value"), run),
            Grid("Models, SAEs and data", ("what", "fingerprint", "as"), loaded, folded=True),
            Grid("Versions", ("package", "version"), versions, folded=True),
            Grid(
                "The task, resolved",
                ("table", "content"),
                [[name, text] for name, text in _chunks(results.task)],
                "The same as task.toml beside this file, which runs again as it is.",
                folded=True,
            ),
        ]
        return Panel("What ran", [grid for grid in grids if grid.rows], order=80)


def _fingerprint(value: Any) -> tuple[str, str]:
    """The fingerprint of what was loaded, and how it was loaded."""
    if not isinstance(value, Mapping):
        return _text(value), ""
    rest = {key: inner for key, inner in value.items() if key != "fingerprint"}
    return _text(value.get("fingerprint")), _text(rest)


def _text(value: Any) -> str:
    """`key value, key value` of a mapping; other values as they are."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items() if inner is not None)
    if isinstance(value, (list, tuple)):
        return "\n".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)


def _without_none(value: Any) -> Any:
    """What TOML can say: a key without a value is left out."""
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value


def _chunks(task: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The task as TOML, piece by piece: its plain keys, then each entry of each table."""
    values = _without_none(task)
    top = {key: value for key, value in values.items() if not isinstance(value, dict)}
    if top:
        yield "", tomli_w.dumps(top).strip()
    for table, entries in values.items():
        if not isinstance(entries, dict):
            continue
        if entries and all(isinstance(entry, dict) for entry in entries.values()):
            for name, entry in entries.items():
                yield f"{table}.{name}", tomli_w.dumps(entry).strip()
        else:
            yield table, tomli_w.dumps(entries).strip()
