"""What every reader of records asks of them: names, groups, null values and reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from harness.contract import JSON, Record

_Item = TypeVar("_Item")
_Key = TypeVar("_Key")


def record_name(record: Record) -> str:
    """The record's id without its version: `fvu.pooled` for `fvu.pooled@1`."""
    return record.id.partition("@")[0]


def named(records: Iterable[Record], *names: str) -> list[Record]:
    """The records that have one of these names, of any version."""
    return [record for record in records if record_name(record) in names]


def grouped(items: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    """The items that have the same key together; keys and items keep their order."""
    found: dict[_Key, list[_Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def by_axis(records: Iterable[Record], axis: str) -> dict[JSON, list[Record]]:
    """The records that have the same value on an axis together; None without the axis."""
    return grouped(records, lambda record: record.axes.get(axis))


def number_or_none(value: object) -> float | None:
    """The value where it is a number; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)


def shared_items(mappings: Sequence[Mapping[str, JSON]]) -> dict[str, JSON]:
    """What all of the mappings hold: their common keys with equal values, such as axes."""
    first, *others = mappings or [{}]
    return {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }


def null_value(record: Record, key: str = "value") -> float | None:
    """What the record's value would be if nothing differed; None where that is not known.

    `key` names another number of the null, such as a quantile.
    """
    return number_or_none((record.null or {}).get(key))


def undefined_reasons(records: Iterable[Record]) -> list[str]:
    """The reasons why values are undefined, each once."""
    return list(dict.fromkeys(record.undefined for record in records if record.undefined))


def undefined_labels(
    rows: Iterable[tuple[str, Mapping[str, Record]]],
) -> dict[str, list[str]]:
    """For each reason why values are undefined, the labels of the rows that have it, each once."""
    found: dict[str, dict[str, None]] = {}
    for label, row in rows:
        for reason in undefined_reasons(row.values()):
            found.setdefault(reason, {})[label] = None
    return {reason: list(labels) for reason, labels in found.items()}


def count_range(records: Sequence[Record]) -> str:
    """How many things the defined records count, at least and at most: `100`, `90-100` or `0`."""
    counts = sorted({record.n for record in records if record.value is not None}) or [0]
    return "-".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
