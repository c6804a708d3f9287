"""Flipped latents by fine-tune and layer, beside what random vectors of the same length flip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness.contract import JSON, Figure, Grid, Record
from harness.results import (
    axis_value,
    by_axis,
    format_number,
    grouped,
    named,
    null_value,
    sorted_by_depth,
)
from harness_sections.charts.heat import Cell, heat_map
from harness_sections.charts.points import cell_text, draws_text, reason_sentences, record_row
from harness_sections.variants import titled, variants, whole

_PLACES = ("pair", "data", "site", "sae", "statistic", "injection", "k", "draw")
_FOLDED = 30
"""Rows from which a table is closed."""
_Place = tuple[JSON, JSON, JSON]
"""A pair, a site and an SAE."""


def flip_figures(records: Sequence[Record]) -> Iterator[Figure | Grid]:
    """Heat maps of flips and of their ratio to the control, and tables of every pair."""
    mine = whole(named(records, "flip_rate.token", "flip_rate.over_random"))
    alike = _alike(mine)
    told = {id(one): record for one, record in zip(alike, mine, strict=True)}
    for label, found in variants(alike, _PLACES).items():
        flips = [r for r in named(found, "flip_rate.token") if _injection(r) == "none"]
        if drawn := _spread_over_sites(flips):
            yield _map(
                titled("Latents that flip, per token", label),
                "How many latents of an SAE the fine-tune turns on or off, per token, by pair and "
                "site; 0 for identical models.",
                drawn,
                told,
            )
        ratios = named(found, "flip_rate.over_random")
        for k in sorted({_k(record) for record in ratios}):
            if drawn := _spread_over_sites([r for r in ratios if _k(r) == k]):
                yield _map(
                    titled(f"Flips under {_components(k)} over random vectors", label),
                    f"Only the part of the change that lies along {_components(k)} is given to "
                    "the base model; what flips then, over what random vectors of the same length "
                    "at every token flip. 1: the directions do no more than their length.",
                    drawn,
                    told,
                    middle=1.0,
                )
        yield _ratios(titled("Flips, and their ratio to random vectors", label), found)
        if len({_injection(record) for record in found}) > 1:
            yield _every(titled("Flips under every injection", label), found)


def place(record: Record, among: Sequence[Record]) -> str:
    """The site, with its SAE where several are there."""
    site = record.axes.get("site")
    saes = {other.axes.get("sae") for other in among if other.axes.get("site") == site}
    return f"{site} {record.axes.get('sae')}" if len(saes) > 1 else str(site)


def columns(records: Sequence[Record]) -> list[str]:
    """The places of the records, by depth."""
    return list(dict.fromkeys(place(record, records) for record in sorted_by_depth(records)))


def _spread_over_sites(records: Sequence[Record]) -> list[Record]:
    """The pairs at two sites or more; all pairs where there is no such pair."""
    by_pair = by_axis(records, "pair")
    sites = {pair: len(by_axis(mine, "site")) for pair, mine in by_pair.items()}
    several = [record for record in records if sites[record.axes.get("pair")] > 1]
    return several or list(records)


def _map(
    title: str,
    meaning: str,
    records: Sequence[Record],
    told: Mapping[int, Record],
    middle: float | None = None,
) -> Figure:
    """`told` has the records as the run has written them, with all their options."""
    cells = [replace(_cell(one, records), record=told[id(one)]) for one in records]
    axes = ("pair", "site")
    return heat_map(title, meaning, cells, columns(records), axes=axes, middle=middle)


def _cell(record: Record, among: Sequence[Record]) -> Cell:
    value = record.value
    text = "" if value is None else f"{value:.1f}" if abs(value) >= 10 else format_number(value)
    more = {"by chance": control} if (control := null_value(record)) is not None else {}
    at = place(record, among)
    return Cell(str(record.axes.get("pair")), at, value, text, record_row(record) | more)


def _ratios(title: str, records: Sequence[Record]) -> Grid:
    """A row for each pair, site and SAE: its own flips, and the ratio for each k."""
    by_place = _by_place(records)
    ks = sorted({_k(r) for r in named(records, "flip_rate.over_random")})
    rows: list[list[JSON]] = []
    for (pair, _, _), mine in by_place.items():
        row: list[JSON] = [str(pair), place(mine[0], records)]
        row.append(cell_text(_one(mine, "flip_rate.token", "none", 0)))
        row += [cell_text(_one(mine, "flip_rate.over_random", "pcs", k)) for k in ks]
        rows.append(row)
    names = ["pair", "site", "flips per token", *(f"{_components(k)} over random" for k in ks)]
    note = " ".join(["95% intervals over documents in brackets.", *reason_sentences(records)])
    return Grid(title, names, rows, note, folded=len(rows) > _FOLDED)


def _every(title: str, records: Sequence[Record]) -> Grid:
    """A row for each injection at each place, beside the draws of its control."""
    rows: list[list[JSON]] = []
    for (pair, _, _), mine in _by_place(records).items():
        at = place(mine[0], records)
        arms = dict.fromkeys((_injection(r), _k(r)) for r in mine if _injection(r) != "random")
        for injection, k in arms:
            flips = cell_text(_one(mine, "flip_rate.token", injection, k))
            draws = [r for r in mine if (_injection(r), _k(r)) == ("random", k)]
            control = draws_text(draws) if injection == "pcs" else ""
            ratio = cell_text(_one(mine, "flip_rate.over_random", injection, k))
            rows.append([str(pair), at, _injected(injection, k), flips, control, ratio])
    names = ("pair", "site", "injected", "flips per token", "random vectors", "ratio")
    note = "95% intervals in brackets; of the draws of random vectors, the mean and the range."
    return Grid(title, names, rows, note, folded=True)


def _by_place(records: Sequence[Record]) -> dict[_Place, list[Record]]:
    """The records by place; first those of the heat maps."""
    drawn = {id(record) for record in _spread_over_sites(records)}
    ordered = sorted(records, key=lambda record: id(record) not in drawn)
    return grouped(ordered, lambda r: (r.axes.get("pair"), r.axes.get("site"), r.axes.get("sae")))


def _one(records: Sequence[Record], name: str, injection: str, k: int) -> Record | None:
    mine = named(records, name)
    return next((r for r in mine if (_injection(r), _k(r)) == (injection, k)), None)


def _injected(injection: str, k: int) -> str:
    if injection == "none":
        return "the whole change"
    return f"{_components(k)}, {'per token' if injection == 'pcs' else injection}"


def _alike(records: Sequence[Record]) -> list[Record]:
    """Without the options that only one kind of injection has: they do not tell tables apart."""
    own = ("alpha", "draws")
    return [
        replace(r, options={k: v for k, v in r.options.items() if k not in own}) for r in records
    ]


def _components(k: int) -> str:
    return "PC1" if k == 1 else f"PC1 to PC{k}"


def _injection(record: Record) -> str:
    return str(record.axes.get("injection", "none"))


def _k(record: Record) -> int:
    return int(axis_value(record, "k") or 0)
