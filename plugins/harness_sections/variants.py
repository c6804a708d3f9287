"""Records that were measured in one way, apart from those measured in another."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from harness.contract import JSON, Record

ELSEWHERE = frozenset({"domain", "experiment", "analysis"})
"""Axes of what belongs to a category of the data, an experiment or an analysis."""


ENTRIES = frozenset({"analysis", "direction", "statistic"})
"""Axes that name entries of the task."""


def named(records: Sequence[Record], *ids: str) -> list[Record]:
    """The records with one of these ids, of any version."""
    return [record for record in records if record.id.partition("@")[0] in ids]


def whole(records: Sequence[Record]) -> list[Record]:
    """What was measured over all data, and by no analysis or experiment."""
    return [record for record in records if not ELSEWHERE & record.axes.keys()]


def variants(records: Sequence[Record], places: Collection[str]) -> dict[str, list[Record]]:
    """The records by what they have beside their places: options, and further axes.

    `places` are axes that say where something was measured, such as `pair` and `site`; axes that
    every pair has one value of, such as its checkpoint, are too. Labels tell what differs,
    `tau=0.1`, entries of the task by their names alone; there is one empty label where nothing
    differs.
    """
    known = {*places, *_of_pairs(records)}
    keys = [_rest(record, known) for record in records]
    telling = _telling(keys)
    found: dict[str, list[Record]] = {}
    for one, record in zip(keys, records, strict=True):
        parts = [
            one[name] if name in ENTRIES else f"{name}={one[name]}"
            for name in telling
            if name in one
        ]
        found.setdefault(", ".join(parts), []).append(record)
    return found


def _of_pairs(records: Sequence[Record]) -> set[str]:
    """Axes that say nothing more once the pair is known, beside entries of the task."""
    values: dict[str, dict[str, set[str]]] = {}
    names = {name for record in records for name in record.axes} - ENTRIES
    for record in records:
        pair = _text(record.axes.get("pair"))
        for name in names:
            values.setdefault(name, {}).setdefault(pair, set()).add(_text(record.axes.get(name)))
    return {name for name, by_pair in values.items() if all(len(v) == 1 for v in by_pair.values())}


def _telling(keys: Sequence[Mapping[str, str]]) -> list[str]:
    """As few names as tell the keys apart, entries of the task before all others."""
    varied = {name for one in keys for name in one if len({k.get(name) for k in keys}) > 1}
    wanted = len({_values(one, sorted(varied)) for one in keys})
    telling: list[str] = []
    for name in sorted(varied, key=lambda name: (name not in ENTRIES, name)):
        if len({_values(one, telling) for one in keys}) == wanted:
            break
        telling.append(name)
    return telling


def _values(one: Mapping[str, str], names: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(one.get(name) for name in names)


def _rest(record: Record, known: Collection[str]) -> Mapping[str, str]:
    """Options and further axes as text, an axis before an option of its name."""
    rest: dict[str, JSON] = {**record.options}
    rest |= {name: value for name, value in record.axes.items() if name not in known}
    return {str(name): _text(value) for name, value in rest.items()}


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def called(title: str, *labels: str) -> str:
    """A title, with the labels that are not empty."""
    more = ", ".join(label for label in labels if label)
    return f"{title}: {more}" if more else title
