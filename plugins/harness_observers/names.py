"""Records as trackers know them: metrics with a name, and rows of one table."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.contract import Record

LONGEST = 240
"""Characters of a name; MLflow allows 250."""
_COLUMNS = ("id", "value", "low", "high", "undefined", "n", "n_of", "unit")


class Names:
    """Names of metrics: `id/axis=value/…`, with `_` for what a tracker does not allow.

    Two records never get the same name: where only options tell them apart, or a letter that is not
    allowed, the second one's ends with a hash.
    """

    def __init__(self, allowed: str, joint: str) -> None:
        """`allowed` is what may stand in a name, as in a regular expression's brackets; `joint`
        stands between an axis and its value."""
        self._joint = joint
        self._other = re.compile(f"[^{allowed}]")
        self._taken: dict[str, str] = {}

    def of(self, record: Record) -> str:
        """The name of a record's metric; always the same for the same record."""
        axes = [f"{key}{self._joint}{record.axes[key]}" for key in sorted(record.axes)]
        name = self.clean("/".join(part.replace("/", "_") for part in (record.id, *axes)))
        identity = json.dumps([record.id, dict(record.options), dict(record.axes)], default=str)
        if self._taken.setdefault(name, identity) != identity:
            name = f"{name}_{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
        return name

    def clean(self, text: str) -> str:
        """A text as a name: only what is allowed, no empty parts, not too long."""
        parts = [self._other.sub("_", part).strip() for part in text.split("/")]
        name = "/".join(part if part.strip(".") else "_" for part in parts)
        if len(name) <= LONGEST:
            return name
        return f"{name[: LONGEST - 9].rstrip(' /')}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def table(records: Sequence[Record]) -> tuple[list[str], list[list[Any]]]:
    """All records as one table: its columns, the axes last, and its rows."""
    axes = sorted({key for record in records for key in record.axes})
    columns = [*_COLUMNS, *(f"axis_{key}" if key in _COLUMNS else key for key in axes)]
    return columns, [_row(record, axes) for record in records]


def _row(record: Record, axes: Sequence[str]) -> list[Any]:
    low, high = record.ci or (None, None)
    number = (record.value, low, high, record.undefined, record.n, record.n_of, record.unit)
    return [record.id, *number, *(_cell(record.axes, key) for key in axes)]


def _cell(axes: Mapping[str, Any], key: str) -> Any:
    value = axes.get(key)
    plain = value is None or isinstance(value, (str, int, float, bool))
    return value if plain else json.dumps(value, default=str)
