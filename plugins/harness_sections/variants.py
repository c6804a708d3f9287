"""Tells records that were measured in one way from those measured in another."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from harness.contract import JSON, Record
from harness.results import grouped

ELSEWHERE = frozenset({"domain", "experiment", "analysis"})
"""Axes of what belongs to a category of the data, an experiment or an analysis."""
ENTRIES = frozenset({"analysis", "direction", "statistic"})
"""Axes that name entries of the task."""


def whole(records: Sequence[Record]) -> list[Record]:
    """The records that were measured over all data, and by no analysis or experiment."""
    return [record for record in records if not ELSEWHERE & record.axes.keys()]


def by_name_on(records: Sequence[Record], axis: str) -> dict[str, list[Record]]:
    """The records that have an axis, by its value as text."""
    having = [record for record in records if axis in record.axes]
    return grouped(having, lambda record: str(record.axes[axis]))


def arm_label(axes: Mapping[str, JSON], without: Collection[str] = ()) -> str:
    """An arm in words: its direction, then its other axes."""
    known = ("direction", *without)
    rest = [f"{key} = {value}" for key, value in axes.items() if key not in known]
    return ", ".join([str(axes.get("direction", "")), *rest])


def variants(records: Sequence[Record], places: Collection[str]) -> dict[str, list[Record]]:
    """The records by a label that says how they were measured, such as `tau=0.1`.

    `places` are axes that say where something was measured, such as `pair` and `site`; so do axes
    that have one value for each pair, such as its checkpoint. A label has as few of the options
    and of the other axes as tell the records apart, and entries of the task by their names alone;
    it is empty where nothing differs.
    """
    known = {*places, *_axes_of_pairs(records)}
    ways = [_way(record, known) for record in records]
    telling = _telling(ways)
    found: dict[str, list[Record]] = {}
    for way, record in zip(ways, records, strict=True):
        parts = [
            way[name] if name in ENTRIES else f"{name}={way[name]}"
            for name in telling
            if name in way
        ]
        found.setdefault(", ".join(parts), []).append(record)
    return found


def titled(title: str, *labels: str) -> str:
    """A title, followed by those of the labels that are not empty."""
    more = ", ".join(label for label in labels if label)
    return f"{title}: {more}" if more else title


def _axes_of_pairs(records: Sequence[Record]) -> set[str]:
    """Axes that have one value for each pair; entries of the task do not count."""
    by_pair = grouped(records, lambda record: _text(record.axes.get("pair")))
    names = {name for record in records for name in record.axes} - ENTRIES
    return {
        name
        for name in names
        if all(len({_text(r.axes.get(name)) for r in mine}) == 1 for mine in by_pair.values())
    }


def _way(record: Record, known: Collection[str]) -> Mapping[str, str]:
    """Options and further axes as text, an axis before an option of its name."""
    way: dict[str, JSON] = {**record.options}
    way |= {name: value for name, value in record.axes.items() if name not in known}
    return {str(name): _text(value) for name, value in way.items()}


def _telling(ways: Sequence[Mapping[str, str]]) -> list[str]:
    """As few names as tell the ways apart, entries of the task before all others."""
    varied = {name for way in ways for name in way if len({other.get(name) for other in ways}) > 1}
    wanted = _different(ways, varied)
    telling: list[str] = []
    for name in sorted(varied, key=lambda name: (name not in ENTRIES, name)):
        if _different(ways, telling) == wanted:
            break
        telling.append(name)
    return telling


def _different(ways: Sequence[Mapping[str, str]], names: Collection[str]) -> int:
    """How many different ways there are, by these names alone."""
    return len({tuple(way.get(name) for name in names) for way in ways})


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
