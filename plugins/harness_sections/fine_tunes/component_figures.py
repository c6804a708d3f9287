"""What principal components of a change explain, and which features they are aligned with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.contract import JSON, Figure, Grid, Record
from harness.results import axis_value, by_axis, format_number, grouped, named, null_value
from harness_sections.charts.curves import curves
from harness_sections.charts.points import (
    Line,
    chance_points,
    number_text,
    point_of,
    reason_sentences,
)
from harness_sections.variants import titled, variants, whole

_PLACES = ("pair", "data", "site", "sae", "pc")
_MOST = 8
"""Figures of one kind."""
_FOLDED = 30


def explained(records: Sequence[Record]) -> list[Figure]:
    """Explained variance by component: a figure for each site, a line for each pair."""
    figures = []
    mine = [r for r in whole(named(records, "pc_explained_variance")) if _pc(r)]
    for label, found in variants(mine, _PLACES).items():
        for site, there in by_axis(found, "site").items():
            lines = [line for line in _lines(there, _pc) if len(line.points) > 1]
            if lines:
                title = titled("Variance that each component explains", str(site), label)
                figures.append(curves(title, _sums(lines), lines, _EXPLAINED, series="pair"))
    return figures[:_MOST]


_EXPLAINED = ("component", "share of the variance")


def _lines(records: Sequence[Record], at: Callable[[Record], int]) -> list[Line]:
    """A line for each pair, its points in their order."""
    return [
        Line(str(pair), tuple(point_of(at(r), r) for r in sorted(mine, key=at)))
        for pair, mine in by_axis(records, "pair").items()
    ]


def _sums(lines: Sequence[Line]) -> str:
    sums = [
        f"{line.label} {100 * sum(one.value or 0.0 for one in line.points):.0f}% in "
        f"{len(line.points)}"
        for line in lines
    ]
    return f"Of the change of activations, uncentred unless set. Together: {', '.join(sums)}."


def aligned(records: Sequence[Record]) -> list[Figure | Grid]:
    """Cosine of the first component with its best feature, by width of the SAE; and a table."""
    figures: list[Figure] = []
    tables: list[Grid] = []
    mine = [r for r in whole(named(records, "pc_feature_cosine.max_abs")) if r.value is None or r.n]
    for label, found in variants(mine, _PLACES).items():
        for site, there in by_axis([r for r in found if _pc(r) == 1], "site").items():
            if len({record.n for record in there}) > 1:
                figures.append(_by_width(titled(_TITLE, str(site), label), there))
        above = named(records, "pc_feature_cosine.above_null")
        tables.append(_table(titled("Components and their best feature", label), found, above))
    return [*figures[:_MOST], *tables]


_TITLE = "First component and its best feature, by dictionary width"


def _by_width(title: str, records: Sequence[Record]) -> Figure:
    by_width = sorted(records, key=lambda record: record.n)
    lines = _lines(by_width, lambda record: record.n)
    widths = {record.n: record for record in by_width}
    levels = {"random vectors, expected": "value", "random vectors, 95% below": "q95"}
    for level, key in levels.items():
        if points := chance_points(widths, key):
            lines.append(Line(level, points, faint=True))
    meaning = (
        "Largest absolute cosine of the first principal component with any decoder row. A wider "
        "dictionary has more rows to be near by chance: grey, the best of as many random unit "
        "vectors."
    )
    return curves(title, meaning, lines, ("features", "largest |cosine|"), log=True)


def _table(title: str, records: Sequence[Record], above: Sequence[Record]) -> Grid:
    """A row for each pair, site and SAE: the first component beside chance, and all together."""
    rows: list[list[JSON]] = []
    for (pair, site, sae), mine in grouped(records, _place).items():
        first = min(mine, key=_pc)
        counted = [r for r in above if _place(r) == (pair, site, sae) and _pc(r) == _pc(first)]
        beyond = [r for r in mine if (r.value or 0.0) > (null_value(r, "q95") or 1.0)]
        rows.append(
            [
                str(pair),
                str(site),
                str(sae),
                first.n,
                format_number(first.value),
                number_text(null_value(first)),
                number_text(null_value(first, "q95")),
                int(counted[0].value or 0) if counted else None,
                f"{len(beyond)} of {len(mine)}",
            ]
        )
    names = (
        "pair",
        "site",
        "SAE",
        "features",
        "PC1: largest |cosine|",
        "expected of random",
        "95% of random below",
        "PC1: features above that",
        "components above that",
    )
    note = " ".join(
        [
            "Random: the best of as many random unit vectors. By chance one component in 20 is "
            "above what 95% of those are below.",
            *reason_sentences(records),
        ]
    )
    return Grid(title, names, rows, note, folded=len(rows) > _FOLDED)


def _place(record: Record) -> tuple[JSON, JSON, JSON]:
    return record.axes.get("pair"), record.axes.get("site"), record.axes.get("sae")


def _pc(record: Record) -> int:
    return int(axis_value(record, "pc") or 0)
