"""The league: at which rank each method finds what was planted, beside chance and a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import log10
from statistics import fmean
from typing import Any

from harness.contract import JSON, Figure, Grid, Panel, Prose, Record, Results
from harness.results import format_estimate, format_number, grouped, named, null_value
from harness_sections.charts.heat import Cell, heat_map
from harness_sections.plain import PlainSection

_COLUMNS = {"method", "role", "kind", "seed", "rank", "candidates", "chance", "p", "permuted_p"}
"""The columns of a table of a league."""
_ROLES = {"method": "", "control": " (control)", "baseline": " (baseline)"}
_HOW = (
    "In each of these models something is known to be there, because it was put there. A method "
    "ranks all candidates by what it found; the number is the rank of the best one that was "
    "planted, one for each seed. A tie counts against the method. A dash: it looks for something "
    "else, or found nothing. Beside it stand what a random order gives, controls that cannot know "
    "what was planted, and a baseline that sees completions alone."
)
_OVER = {
    "found.hits": "found",
    "found.mrr": "mean of 1 / rank",
    "found.beyond_baseline": "beyond the baseline (log10 p)",
}
_MOST = 400
Row = Mapping[str, Any]


class League(PlainSection):
    """For each league: the matrix of ranks, the same as a chart, means over models, all rows."""

    def panel(self, results: Results) -> Panel | None:
        """The panel, or None where no table is one of a league."""
        blocks: list[Figure | Grid | Prose] = []
        for name, rows in results.tables.items():
            if not rows or not rows[0].keys() >= _COLUMNS:
                continue
            analysis = name.rpartition(".")[0]
            ranks = [r for r in named(results.records, "found.rank") if _is_of(r, analysis)]
            blocks += [_matrix(analysis, rows), *_chart(analysis, rows, ranks)]
            blocks += [*_over(analysis, results.records), *_null(analysis, rows)]
            blocks.append(_all(analysis, rows))
        return Panel("The league", [Prose(_HOW), *blocks], order=5) if blocks else None


def _kinds(rows: Sequence[Row]) -> list[str]:
    """The kinds in which something was planted, in order."""
    return list(dict.fromkeys(str(row["kind"]) for row in rows if row["planted"] != "nothing"))


def _matrix(analysis: str, rows: Sequence[Row]) -> Grid:
    """A row for each method, a column for each kind: the ranks, by seed."""
    kinds = _kinds(rows)
    cells: list[list[JSON]] = []
    for method, mine in grouped(rows, lambda row: str(row["method"])).items():
        by_kind = grouped(mine, lambda row: str(row["kind"]))
        named_so = f"{method}{_ROLES.get(str(mine[0]['role']), '')}"
        ranks = [_ranks(by_kind.get(kind, ())) for kind in kinds]
        cells.append([named_so, str(mine[0]["sort"]), *ranks])
    cells += [["chance", sort, *_chance(rows, sort, kinds)] for sort in _sorts(rows)]
    return Grid(f"{analysis}: ranks, by seed", ["method", "looks for", *kinds], cells)


def _sorts(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(str(row["sort"]) for row in rows))


def _ranks(rows: Sequence[Row]) -> str:
    ordered = sorted(rows, key=lambda row: int(row["seed"]))
    if all(row["rank"] is None for row in ordered):
        return "–"
    return " · ".join("–" if row["rank"] is None else str(int(row["rank"])) for row in ordered)


def _chance(rows: Sequence[Row], sort: str, kinds: Sequence[str]) -> Iterator[str]:
    """The rank that a random order gives on average, over the models of each kind."""
    for kind in kinds:
        usual = [
            float(row["chance"])
            for row in rows
            if row["sort"] == sort and row["kind"] == kind and row["chance"] is not None
        ]
        yield format_number(fmean(usual)) if usual else "–"


def _is_of(record: Record, analysis: str) -> bool:
    return record.axes.get("analysis") == analysis


def _chart(analysis: str, rows: Sequence[Row], ranks: Sequence[Record]) -> Iterator[Figure]:
    """How unlikely the ranks of each method are by chance: the mean of −log10 p. It draws the
    records of all ranks."""
    kinds, cells = _kinds(rows), []
    for (method, kind), mine in grouped(
        rows, lambda row: (str(row["method"]), str(row["kind"]))
    ).items():
        known = [row for row in mine if row["p"] is not None]
        if kind not in kinds or not known:
            continue
        value = fmean(-log10(max(float(row["p"]), 1e-300)) for row in known)
        details: dict[str, JSON] = {
            "ranks": _ranks(mine),
            "mean of −log10 p": format_number(value),
            "p against other truths": ", ".join(
                "none" if row["permuted_p"] is None else format_number(row["permuted_p"])
                for row in known
            ),
        }
        named_so = f"{method}{_ROLES.get(str(mine[0]['role']), '')}"
        cells.append(Cell(named_so, kind, value, _ranks(mine), details))
    if cells:
        drawn = heat_map(
            f"{analysis}: how unlikely these ranks are by chance",
            "Darker is less likely: the mean over seeds of −log10 of the chance of such a rank or "
            "a better one. The ranks stand in the cells.",
            cells,
            kinds,
            axes=("method", "kind"),
        )
        yield replace(drawn, records=list(ranks))


def _over(analysis: str, records: Sequence[Record]) -> Iterator[Grid]:
    """A row for each method: means over all models, with intervals and permuted truth."""
    mine = [
        record
        for record in named(records, *_OVER)
        if _is_of(record, analysis) and record.axes.get("kind") == "all"
    ]
    if not mine:
        return
    cells: list[list[JSON]] = []
    for record in mine:
        what = _OVER[record.id.partition("@")[0]]
        up_to = record.axes.get("k")
        null = null_value(record)
        cells.append(
            [
                str(record.axes.get("method")),
                what if up_to is None else f"{what} at rank {up_to} or better",
                record.n,
                format_estimate(record),
                "" if null is None else format_number(null),
                record.ci_why or "",
            ]
        )
    columns = ["method", "number", "models", "value", "with other truths", "why no interval"]
    note = "95% intervals in brackets, by drawing models. Methods look for different sorts."
    yield Grid(f"{analysis}: over all models", columns, cells, note, folded=True, spare=1)


def _null(analysis: str, rows: Sequence[Row]) -> Iterator[Grid]:
    """Of each method, what it finds of others' truths where nothing was planted."""
    null = [row for row in rows if row.get("of_others") is not None]
    if not null:
        return
    pairs = list(dict.fromkeys(str(row["pair"]) for row in null))
    cells: list[list[JSON]] = []
    for method, mine in grouped(null, lambda row: str(row["method"])).items():
        by_pair = {str(row["pair"]): format_number(row["of_others"]) for row in mine}
        cells.append([method, *(by_pair.get(pair, "–") for pair in pairs)])
    note = (
        "How likely a random order ranks one of the truths of all other models as well as the "
        "best of them stands here. Small numbers would be finds where there is nothing to find."
    )
    yield Grid(f"{analysis}: where nothing was planted", ["method", *pairs], cells, note)


def _all(analysis: str, rows: Sequence[Row]) -> Grid:
    cells: list[list[JSON]] = [
        [
            str(row["method"]),
            str(row["pair"]),
            row["rank"],
            row["candidates"],
            *("" if row[key] is None else format_number(row[key]) for key in ("p", "permuted_p")),
            str(row.get("words") or ""),
            str(row.get("text") or ""),
            str(row.get("why") or ""),
        ]
        for row in rows[:_MOST]
    ]
    columns = ["method", "model", "rank", "of", "p", "p, other truths", "words", "what", "why none"]
    note = f"The first {_MOST} of {len(rows)}; all are in tables/." * (len(rows) > _MOST)
    return Grid(f"{analysis}: every model", columns, cells, note, folded=True, spare=3)
