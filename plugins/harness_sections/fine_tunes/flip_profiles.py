"""In which layers fine-tunes flip latents, where the centre lies, and what two of them share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.contract import JSON, Figure, Grid, Record
from harness.results import by_axis, format_estimate, format_number, named, null_value
from harness_sections.charts.depth import DepthLine, depth_figure, spans_sites
from harness_sections.charts.heat import Cell, heat_map
from harness_sections.charts.points import reason_sentences, record_row
from harness_sections.fine_tunes.flip_figures import columns, place
from harness_sections.variants import titled, variants

_PLACES = ("pair", "data", "site", "sae", "against", "group")
_DIFFERENCE = "layer_profile.centre_difference"


def profiles(records: Sequence[Record]) -> Iterator[Figure | Grid]:
    """The share of each layer, a line for each pair, and the centres of mass."""
    ids = ("layer_profile.share", "layer_profile.centre", _DIFFERENCE)
    for label, found in variants(named(records, *ids), _PLACES).items():
        shares = [record for record in named(found, ids[0]) if "site" in record.axes]
        by_pair = by_axis(shares, "pair")
        lines = [DepthLine(str(pair), tuple(mine)) for pair, mine in by_pair.items()]
        if spans_sites(lines):
            title = titled("Where the flips are", label)
            meaning = (
                "The share of a pair's flips at each layer, of those at all layers that have an "
                "SAE."
            )
            yield depth_figure(title, meaning, lines, "share of the flips")
        centres, differences = named(found, ids[1]), named(found, _DIFFERENCE)
        if centres or differences:
            yield _centres(titled("Centre of mass of the flips", label), centres, differences)


def _centres(title: str, centres: Sequence[Record], differences: Sequence[Record]) -> Grid:
    """A row for each pair, and one for a group against the others."""
    rows: list[list[JSON]] = [[str(r.axes.get("pair")), format_estimate(r)] for r in centres]
    for r in differences:
        rows.append([f"{r.axes.get('group')} minus {r.axes.get('against')}", format_estimate(r)])
    note = (
        "In blocks, from 0: small where shallow layers change most. 95% intervals over documents; "
        "a difference is paired over them, and 0 if nothing differs."
    )
    return Grid(title, ("pair", "centre"), rows, " ".join([note, *reason_sentences(differences)]))


def overlaps(records: Sequence[Record]) -> Iterator[Figure]:
    """How many of their most flipped latents two fine-tunes share, by site."""
    found = [r for r in named(records, "flip_overlap.count") if "site" in r.axes]
    for label, mine in variants(found, _PLACES).items():
        top = mine[0].options.get("top")
        yield heat_map(
            titled("Flipped latents in common", label),
            f"Of the {top} latents that each of two fine-tunes flips most, how many are the same; "
            "in brackets, how many two random sets of latents that are ever on would share.",
            [_cell(record, mine) for record in mine],
            columns(mine),
            axes=("pairs", "site"),
        )


def _cell(record: Record, among: Sequence[Record]) -> Cell:
    row = f"{record.axes.get('pair')} · {record.axes.get('against')}"
    chance, p = null_value(record), (record.null or {}).get("p")
    text = "" if record.value is None else format_number(record.value)
    if text and chance is not None:
        text += f" ({format_number(chance)})"
    more: dict[str, JSON] = {"by chance": chance}
    if isinstance(p, float):
        more["p"] = p
    return Cell(row, place(record, among), record.value, text, record_row(record) | more, record)
