"""What differs most between runs: the numbers whose variants lie furthest apart for their noise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.contract import Figure, Runs, SharedNumber, Spread
from harness.results import grouped
from harness_sections.charts.curves import curves
from harness_sections.charts.dots import dots
from harness_sections.charts.points import Line
from harness_sections.several.spreads import BARS, ends, point_at, points, told_apart

_MOST = 6
"""Figures that are drawn."""
_PLACES = 4
"""Lines of a figure."""
_DETAILS = ("edit.", "invalid_verdicts", "text.")
"""Numbers that say how another one came to be."""
_MEANING = "Each run's value; drawn because its runs lie far apart for their uncertainty."


def figures(runs: Runs) -> list[Figure]:
    """A figure for each kind of number, those first whose runs are the furthest apart.

    Only numbers with a known uncertainty count; none are drawn of a single variant.
    """
    if len(runs.variants) < 2:
        return []
    measured = [n for n in runs.numbers if n.n > 1 and not n.id.startswith(_DETAILS)]
    apart = [(separation(number), number) for number in measured]
    known = [(value, number) for value, number in apart if value is not None and value > 1]
    by_id = grouped(sorted(known, key=lambda one: -one[0]), lambda one: one[1].id)
    return [_figure(runs, [number for _, number in mine]) for mine in list(by_id.values())[:_MOST]]


def separation(number: SharedNumber) -> float | None:
    """How far the variants are apart, in mean half-widths of their bars; None without bars.

    `(largest − smallest mean) / mean of (high − low) / 2`. 0 or more; infinite bars aside, above 1
    the furthest two are further apart than a bar is wide to one side.
    """
    drawn = [one for one in number.spreads if one.mean is not None]
    bars = [bar for one in drawn if (bar := _half(one)) is not None]
    means = [one.mean for one in drawn if one.mean is not None]
    if len(means) < 2 or not bars:
        return None
    width = sum(bars) / len(bars)
    distance = max(means) - min(means)
    return distance / width if width > 0 else (float("inf") if distance > 0 else 0.0)


def _half(one: Spread) -> float | None:
    low, high = ends(one)
    return None if low is None or high is None else (high - low) / 2


def _figure(runs: Runs, numbers: Sequence[SharedNumber]) -> Figure:
    """The number at its places, by variant: along a line where the variants have an order."""
    shown = numbers[:_PLACES]
    labels = _labels(shown)
    lines = [
        Line(label, tuple(points(runs, number)))
        for label, number in zip(labels, shown, strict=True)
    ]
    unit = shown[0].unit
    name = shown[0].id
    more = len(numbers) - len(shown)
    meaning = _MEANING + (f" {more} further places are in the table." if more else "")
    title = f"{name}{f': {labels[0]}' if len(shown) == 1 and labels[0] != name else ''}"
    value = f"{name.partition('@')[0]} ({unit})"
    if ordered([variant.label for variant in runs.variants]):
        along = [
            Line(label, tuple(
                point_at(variant.label, one)
                for variant, one in zip(runs.variants, number.spreads, strict=True) if one.records
            ))
            for label, number in zip(labels, shown, strict=True)
        ]  # fmt: skip
        return curves(title, f"{meaning} {BARS}", along, (told_apart(runs), value), series="where")
    return dots(title, f"{meaning} {BARS}", lines, (told_apart(runs), value))


def ordered(labels: Sequence[str]) -> bool:
    """Whether labels are numbers, or texts that differ in a number alone: `step_20`, `step_100`."""
    shapes = {re.sub(r"[0-9]+(\.[0-9]+)?", "#", label) for label in labels}
    return len(labels) > 2 and len(shapes) == 1 and "#" in shapes.pop()


def _labels(numbers: Sequence[SharedNumber]) -> list[str]:
    """The axes in which the numbers differ, and where two have the same, their options, too."""
    keys = dict.fromkeys(key for number in numbers for key in number.axes)
    telling = [
        key
        for key in keys
        if len(numbers) == 1 or len({str(number.axes.get(key)) for number in numbers}) > 1
    ]
    plain = [_told(number.axes, telling) for number in numbers]
    options = {key for number in numbers for key in number.options}
    labels = []
    for label, number in zip(plain, numbers, strict=True):
        rivals = [other for other, of in zip(numbers, plain, strict=True) if of == label]
        differing = [
            key for key in sorted(options)
            if len({repr(other.options.get(key)) for other in rivals}) > 1
        ]  # fmt: skip
        labels.append(" ".join(filter(None, [label, _told(number.options, differing)])))
    return [label or number.id for label, number in zip(labels, numbers, strict=True)]


def _told(values: Mapping[str, object], keys: Sequence[str]) -> str:
    return " ".join(f"{key}={values[key]}" for key in keys if key in values)
