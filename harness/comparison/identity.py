"""When two numbers are the same number, and when they only look so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.contract import Record
from harness.results.records import grouped, record_name


@dataclass(frozen=True)
class Mixed:
    """Numbers with one name and the same axes that are computed differently."""

    first: Record
    second: Record
    count: int
    """How many there are with these versions and options."""

    def __str__(self) -> str:
        more = f", and {self.count - 1} more" if self.count > 1 else ""
        where = " ".join(f"{key}={value}" for key, value in self.first.axes.items())
        one, other = _described(self.first, self.second), _described(self.second, self.first)
        return f"{one} against {other} ({where}{more})"


def identity(record: Record) -> str:
    """What makes a record this number: its id with the version, its options, its axes."""
    return plain_json([record.id, record.options, record.axes])


def mixed(first: Sequence[Record], second: Sequence[Record]) -> list[Mixed]:
    """Numbers that only the first holds where the second holds others of that name and place."""
    here, there = ({identity(record) for record in side} for side in (first, second))
    others = grouped((record for record in second if identity(record) not in here), _place)
    pairs = [
        (record, others[_place(record)][0])
        for record in first
        if identity(record) not in there and _place(record) in others
    ]
    alike = grouped(pairs, lambda pair: plain_json([(one.id, one.options) for one in pair]))
    return [Mixed(*mine[0], len(mine)) for mine in alike.values()]


def _place(record: Record) -> str:
    return plain_json([record_name(record), record.axes])


def _described(record: Record, other: Record) -> str:
    """The id, with the options that the other has differently."""
    parts = []
    for key in dict.fromkeys([*record.options, *other.options]):
        here, there = (
            plain_json(side.options[key]) if key in side.options else "unset"
            for side in (record, other)
        )
        if here != there:
            parts.append(f"{key} = {here}")
    return f"{record.id} with {', '.join(parts)}" if parts else record.id


def plain_json(value: Any) -> str:
    """JSON that is equal exactly when the values are: keys sorted, 1.0 written as 1."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
