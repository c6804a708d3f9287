"""The numbers that runs share: aligned by id, options and axes, then put together.

Over the seeds of a variant: the mean and the standard deviation (n - 1). Over variants: the median
of their means, with how many there are. A value that is undefined, or that a run lacks, is counted.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.comparison.identity import identity, plain_json
from harness.contract import OneRun, Record, SharedNumber, Spread, Variant
from harness.results.records import record_name

_PLACE = "site"
_NAME = "sae"


def shared_numbers(variants: Sequence[Variant]) -> tuple[SharedNumber, ...]:
    """Every number of the runs, in the order in which the first run has them.

    Two records are one number where their id with its version, their options and their axes are
    the same. Models differ in depth, so an SAE that the task gives a name may lie at another site
    in each: such records are one number all the same, if each run has but one of them.
    """
    runs = [run for variant in variants for run in variant.runs]
    loose = _unambiguous(runs)
    tables = {id(run): {_key(r, loose): r for r in run.results.records} for run in runs}
    keys = dict.fromkeys(key for run in runs for key in tables[id(run)])
    return tuple(_number(key, variants, tables) for key in keys)


def spread(records: Sequence[Record | None]) -> Spread:
    """One number over the seeds of a variant; None stands for a run that lacks it."""
    held = [record for record in records if record is not None]
    values = [record.value for record in held if record.value is not None]
    return Spread(
        _exact(statistics.mean, values) if values else None,
        _exact(statistics.stdev, values) if len(values) > 1 else None,
        len(values),
        len(held) - len(values),
        len(records) - len(held),
        tuple(held),
    )


def differently_made(variants: Sequence[Variant]) -> list[str]:
    """For each name of numbers that runs made with other versions or options, the ids: they are
    never put together."""
    made: dict[tuple[str, str], dict[int, set[str]]] = {}
    for number, run in enumerate(run for variant in variants for run in variant.runs):
        for record in run.results.records:
            place = record_name(record), plain_json(record.axes)
            how = plain_json([record.id, record.options])
            made.setdefault(place, {}).setdefault(number, set()).add(how)
    names = Counter(
        name for (name, _), by_run in made.items() if len(set(map(frozenset, by_run.values()))) > 1
    )
    return sorted(names)


def _exact(of: Any, values: Sequence[float]) -> float | None:
    # Computed in fractions, so that no order of runs changes a digit; None beyond what a float is.
    try:
        return float(of(values))
    except OverflowError:
        return None


def _number(
    key: str, variants: Sequence[Variant], tables: Mapping[int, Mapping[str, Record]]
) -> SharedNumber:
    spreads = tuple(
        spread([tables[id(run)].get(key) for run in variant.runs]) for variant in variants
    )
    first, *others = [record for one in spreads for record in one.records]
    axes = dict(first.axes)
    if any(other.axes.get(_PLACE) != first.axes.get(_PLACE) for other in others):
        axes.pop(_PLACE, None)
    means = [one.mean for one in spreads if one.mean is not None]
    median = statistics.median(means) if means else None
    return SharedNumber(first.id, first.options, axes, first.unit, spreads, median, len(means))


def _unambiguous(runs: Sequence[OneRun]) -> set[str]:
    """What is one number in each run also without its site."""
    most: Counter[str] = Counter()
    for run in runs:
        for key, count in Counter(_loose_keys(run.results.records)).items():
            most[key] = max(most[key], count)
    return {key for key, count in most.items() if count == 1}


def _loose_keys(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        if (key := _loose(record)) is not None:
            yield key


def _loose(record: Record) -> str | None:
    """The identity without the site, where an SAE's name says what the number is of."""
    if _NAME not in record.axes or _PLACE not in record.axes:
        return None
    axes = {key: value for key, value in record.axes.items() if key != _PLACE}
    return plain_json([record.id, record.options, axes, "anywhere"])


def _key(record: Record, loose: set[str]) -> str:
    key = _loose(record)
    return key if key is not None and key in loose else identity(record)
