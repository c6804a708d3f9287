"""Whether a fine-tune wrote something new or moved what was there: the conclusion, then why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import JSON, Figure, Grid, Panel, Prose, Record, Results
from harness.results import (
    format_estimate,
    format_number,
    grouped,
    named,
    null_value,
    record_name,
    undefined_reasons,
)
from harness_sections.charts.curves import curves, is_number
from harness_sections.charts.points import Line, point_of
from harness_sections.plain import PlainSection

_PLACE = ("pair", "domain", "site", "sae")
_KINDS = {
    "repurposed": "the dictionary has words for what changed: features moved",
    "new": "one direction leads the change, and the dictionary has no word for it",
    "diffuse": "many directions changed, and few decoder rows do not say how",
    "undecided": "the intervals allow more than one, it may be rounding, or a number is missing",
}
_WAYS = {
    "decoder": "decoder rows",
    "random": "random rows",
    "components": "principal components",
}
_ROWS = {
    "fvu_change.pooled": "missed by the SAE's latents",
    "fvu_change.floor": "of that by rounding",
    "fvu_change.independent": "were the errors independent",
    "fvu_change.errors_correlation": "correlation of the errors",
    "change_latents.flip_share": "carried by latents that crossed a threshold",
    "change_latents.woken": "latents that woke",
}
"""Numbers that have one value at each place, with what they say."""
_MOST = 40
"""Places and components that are shown; the tables have all."""
_FIGURES = 8
_TOKENS = 8


class Newness(PlainSection):
    """Conclusions of `newness`, the numbers behind them, and the components of what is left."""

    def panel(self, results: Results) -> Panel | None:
        """The panel, or None where nothing of this was measured."""
        blocks = [
            *_conclusions(results.tables),
            *_figures(results.records),
            *_numbers(results.records),
            *_components(results),
        ]
        return Panel("New or repurposed?", blocks, order=4) if blocks else None


def _conclusions(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Prose | Grid]:
    """What each place was concluded to be, and what the words mean."""
    rows = [
        row
        for name, found in tables.items()
        if name.rpartition(".")[2] == "newness" and found and "conclusion" in found[0]
        for row in found
    ]
    if not rows:
        return
    met = dict.fromkeys(str(row["conclusion"]) for row in rows)
    yield Prose("\n".join(f"{kind}: {_KINDS[kind]}." for kind in _KINDS if kind in met))
    cells: list[list[JSON]] = [
        [_place(row), str(row["conclusion"]), str(row.get("could_be") or ""), str(row["verdict"])]
        for row in rows[:_MOST]
    ]
    note = f"The first {_MOST} of {len(rows)}; all are in tables/." * (len(rows) > _MOST)
    yield Grid("Conclusions", ["where", "conclusion", "could be", "why"], cells, note)


def _figures(records: Sequence[Record]) -> Iterator[Figure]:
    """For each place a chart of what k rows leave of the change."""
    mine = [
        record
        for record in named(records, "few_rows.fvu")
        if record.value is not None and is_number(record.axes.get("k"))
    ]
    for place, found in list(grouped(mine, lambda r: _place(r.axes)).items())[:_FIGURES]:
        by_way = grouped(found, lambda r: str(r.axes.get("rows")))
        lines = [
            Line(
                _WAYS.get(way, way),
                tuple(point_of(one.axes.get("k"), one) for one in points),
                faint=way == "random",
            )
            for way, points in by_way.items()
        ]
        yield curves(
            f"What few rows leave of the change: {place}",
            "How much of the change is left when each token's is written with k rows. Where "
            "decoder rows leave no less than random ones, the dictionary has no word for it.",
            lines,
            ("k", "left of the change"),
            log=True,
            series="rows",
        )


def _numbers(records: Sequence[Record]) -> Iterator[Grid]:
    """A row for each place: what the encoder says, beside what it would say of rounding."""
    mine = named(records, *_ROWS)
    by_place = grouped(mine, lambda record: _place(record.axes))
    if not by_place:
        return
    cells: list[list[JSON]] = []
    for place, found in list(by_place.items())[:_MOST]:
        by_name = grouped(found, record_name)
        cells.append([place, *(_cell(by_name.get(name, [])) for name in _ROWS)])
    note = "Shares of the change, not clipped. 95% intervals in brackets."
    reasons = [f"Undefined: {reason}." for reason in undefined_reasons(mine)]
    columns = ["where", *_ROWS.values()]
    yield Grid("What the SAE's latents say of it", columns, cells, " ".join([note, *reasons]))


def _components(results: Results) -> Iterator[Grid]:
    """The first components of what the SAE leaves, with the nearest feature and the tokens."""
    rows = [
        row
        for found in results.tables.values()
        if found and {"share_of_change", "mean_cosine", "pc"} <= found[0].keys()
        for row in found
    ]
    if not rows:
        return
    nulls = {
        (_place(record.axes), record.axes.get("pc")): null_value(record, "q95")
        for record in named(results.records, "change_rest.max_abs_cosine")
    }
    tokens = _tokens(results.tables)
    cells: list[list[JSON]] = []
    for row in rows[:_MOST]:
        key = (_place(row), row["pc"])
        limit = nulls.get(key)
        chance = "" if limit is None else f" (by chance up to {format_number(limit)})"
        cells.append(
            [
                key[0],
                row["pc"],
                format_number(row["share"]),
                format_number(row["mean_cosine"]),
                f"{row['feature']}: {format_number(row['cosine'])}{chance}",
                *(" · ".join(tokens.get((*key, sign), [])[:_TOKENS]) for sign in ("+", "-")),
            ]
        )
    columns = ["where", "component", "share", "cosine with the mean change", "nearest feature"]
    note = "Of Δε, what the SAE does not rebuild of each token's change. "
    note += f"The first {_MOST} of {len(rows)}; all are in tables/." * (len(rows) > _MOST)
    heads = [*columns, "the head says to it", "and to its opposite"]
    yield Grid("Components of what is left", heads, cells, note, folded=True, spare=2)


def _tokens(
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[tuple[str, Any, str], list[str]]:
    """By place, component and sign the tokens that a head says to it, best first. Hostile."""
    found: dict[tuple[str, Any, str], list[str]] = {}
    for rows in tables.values():
        if rows and {"pc", "sign", "token", "text", "rank"} <= rows[0].keys():
            for row in sorted(rows, key=lambda row: int(row["rank"])):
                key = (_place(row), row["pc"], str(row["sign"]))
                found.setdefault(key, []).append(str(row["text"]).strip() or f"#{row['token']}")
    return found


def _place(axes: Mapping[str, Any]) -> str:
    """Where something was measured, without the data, which not all that is told names."""
    return ", ".join(str(axes[name]) for name in _PLACE if axes.get(name) is not None)


def _cell(records: Sequence[Record]) -> str:
    return format_estimate(records[0]) if len(records) == 1 else ("several" if records else "")
