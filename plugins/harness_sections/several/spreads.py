"""One number of several runs as points and cells: means over seeds, medians over variants."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import JSON, Runs, SharedNumber, Spread
from harness.results import format_estimate, format_number, undefined_reasons
from harness_sections.charts.points import Point

BARS = (
    "Bars: over several seeds the standard deviation around their mean, of one run its 95% "
    "interval."
)


def points(runs: Runs, number: SharedNumber, *, median: bool = True) -> list[Point]:
    """A point for each variant that has the number, at its label; then their median."""
    found = [
        point_at(variant.label, one)
        for variant, one in zip(runs.variants, number.spreads, strict=True)
        if one.records
    ]
    if median and number.n > 1:
        found.append(median_at(median_label(number), number))
    return found


def point_at(at: JSON, one: Spread) -> Point:
    """The mean over the seeds with their deviation; of one run, its value with its interval."""
    low, high = ends(one)
    row: dict[str, JSON] = {
        "value": one.mean, "from": low, "to": high, "sd over seeds": one.sd, "seeds": one.n,
    }  # fmt: skip
    if why := gaps(one):
        row["why there is none"] = why
    return Point(at, one.mean, low, high, row, one.records)


def median_at(at: JSON, number: SharedNumber) -> Point:
    """The median over the variants."""
    row: dict[str, JSON] = {"value": number.median, "median over": number.n}
    return Point(at, number.median, row=row)


def median_label(number: SharedNumber) -> str:
    """`median of 3`."""
    return f"median of {number.n}"


def ends(one: Spread) -> tuple[float | None, float | None]:
    """The ends of the bar of a point; none where a single run has no interval."""
    if one.mean is not None and one.sd is not None:
        return one.mean - one.sd, one.mean + one.sd
    defined = [record for record in one.records if record.value is not None]
    return (defined[0].ci or (None, None)) if len(defined) == 1 else (None, None)


def cell(one: Spread) -> str:
    """A variant's cell of a table: `0.52 ± 0.03 (3 seeds, 1 undefined)`; empty without a run."""
    defined = [record for record in one.records if record.value is not None]
    if not one.records:
        return ""
    if len(defined) < 2:
        text = format_estimate(defined[0]) if defined else "undefined"
        told = [gaps(one)] if defined else []
    else:
        text = f"{format_number(one.mean)} ± {format_number(one.sd)}"
        told = [f"{one.n} seeds", gaps(one)]
    if some := ", ".join(part for part in told if part):
        text += f" ({some})"
    return text


def gaps(one: Spread) -> str:
    """What is not in the mean, counted: `1 undefined: no token; 1 without it`."""
    parts = []
    if one.undefined:
        parts.append(f"{one.undefined} undefined: {'; '.join(undefined_reasons(one.records))}")
    if one.missing and one.records:
        parts.append(f"{one.missing} without it")
    return "; ".join(parts)


def told_apart(runs: Runs) -> str:
    """What the variants are, for the title of an axis: `models.chat.path`, or `run`."""
    return ", ".join(runs.by) if runs.by else "run"


def several(numbers: Sequence[SharedNumber]) -> bool:
    """Whether any of the numbers is in two runs or more."""
    return any(sum(len(one.records) for one in number.spreads) > 1 for number in numbers)
