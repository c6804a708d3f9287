"""Where a fine-tune shows and where it hides: dense cosine beside sparse overlap, by depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.contract import Figure, Panel, Prose, Record, Results
from harness.results import (
    format_number,
    named,
    record_name,
    records_by_pair,
    sorted_by_depth,
    token_condition,
)
from harness_sections.charts.depth import depth_figure, pair_title, spans_sites
from harness_sections.layers.cosines import cosine_boxes
from harness_sections.layers.lines import ELSEWHERE, number_lines
from harness_sections.plain import PlainSection

_NUMBERS: Mapping[str, str] = {
    "cosine.raw": "cosine of activations",
    "cosine.latent": "cosine of latents",
    "latent_overlap.topk": "overlap of latents",
    "intersection_ratio.per_token": "IR",
    "explained_ratio.ratio_of_means": "ER",
    "intersection_ratio.chance": "IR by chance",
}
"""The numbers of a profile, and their short names in the figure."""
_MOST = 12
"""Pairs that have a figure."""
_HOW = (
    "How far two models are apart at each depth: by their activations (cosine: 1 is the same) and "
    "by the features of a sparse autoencoder (overlap and IR: those active in both, out of those "
    "active in either; ER: what the SAE fails to explain of the change). Cosine high and overlap "
    "low: the same direction, made of other features."
)


class LayerProfiles(PlainSection):
    """A figure for each pair that is measured at two sites or more, and how cosines are spread."""

    def panel(self, results: Results) -> Panel | None:
        """The figures, or None where there is no such pair."""
        figures = list(_figures(results.records))
        boxes = cosine_boxes(results.records)
        if not figures and not boxes:
            return None
        more = len(figures) - _MOST
        note = f" {more} further pairs are in the tables below." if more > 0 else ""
        how = [Prose(_HOW + note)] if figures else []
        return Panel("Layer profiles", [*how, *figures[:_MOST], *boxes], order=12)


def _figures(records: Sequence[Record]) -> Iterator[Figure]:
    chosen = [r for r in named(records, *_NUMBERS) if not ELSEWHERE & r.axes.keys()]
    for (pair, data), mine in records_by_pair(chosen).items():
        lines = number_lines(mine, _NUMBERS, _short_label)
        if spans_sites(lines) and any(not line.faint for line in lines):
            title = f"Pair {pair_title(pair, data)}"
            yield depth_figure(title, _meaning(mine), lines, "cosine, overlap or ratio")


def _short_label(short: str, label: str, record: Record) -> str:
    """The short name, with what tells this line from others of the same number."""
    rest = label.removeprefix(record.id).removeprefix(record_name(record)).strip()
    condition = token_condition(record)
    below = record.options.get("cosine_below")
    if below is not None and condition == f"cosine_below={below}":
        rest = rest.replace(condition, f"where cosine < {below}")
    return f"{short}, {rest}" if rest else short


def _meaning(records: Sequence[Record]) -> str:
    """What the highest cosine goes with, in words: the point of the figure."""
    parts = []
    for name in ("cosine.raw", "latent_overlap.topk"):
        mine = [r for r in named(records, name) if r.value is not None]
        if not mine or any(token_condition(record) for record in mine):
            return "Numbers of a pair by depth."
        parts.append({r.axes["site"]: r for r in sorted_by_depth(mine)})
    cosines, overlaps = parts
    words = [
        f"{site}: cosine {format_number(cosines[site].value or 0)}, "
        f"overlap {format_number(overlaps[site].value or 0)}"
        for site in cosines
        if site in overlaps
    ]
    return f"Dense cosine beside sparse overlap. {'; '.join(words)}."
