"""Where a fine-tune shows and where it hides: dense cosine beside sparse overlap, by depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.contract import Figure, Panel, Prose, Record, Results
from harness.results.by_site import distinct_labels, records_by_pair, token_condition
from harness.results.numbers import format_number
from harness_sections.charts.depth import Line, figure, place, same, sorted_by_depth
from harness_sections.layers.cosines import cosine_boxes
from harness_sections.plain import Plain

_NUMBERS: Mapping[str, str] = {
    "cosine.raw": "cosine of activations",
    "cosine.latent": "cosine of latents",
    "latent_overlap.topk": "overlap of latents",
    "intersection_ratio.per_token": "IR",
    "explained_ratio.ratio_of_means": "ER",
    "intersection_ratio.chance": "IR by chance",
}
"""What a profile is made of, and how it is called in the figure."""
_LEVELS = ("intersection_ratio.chance",)
_MOST = 12
"""Pairs that have a figure."""
_HOW = (
    "How far two models are apart at each depth: by their activations (cosine: 1 is the same) and "
    "by the features of a sparse autoencoder (overlap and IR: those active in both, out of those "
    "active in either; ER: what the SAE fails to explain of the change). Cosine high and overlap "
    "low: the same direction, made of other features."
)


class LayerProfiles:
    """A figure for each pair that is measured at two sites or more, and how cosines are spread."""

    def __init__(self, options: Plain) -> None:
        self.options = options

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
    chosen = [r for r in records if _name(r) in _NUMBERS and not _apart(r)]
    for (pair, data), mine in records_by_pair(chosen).items():
        found = list(lines(mine))
        sites = {record.axes["site"] for line in found for record in line.records}
        if len(sites) > 1 and any(not line.faint for line in found):
            yield figure(f"Pair {place(pair, data)}", _meaning(mine), found)


def lines(records: Sequence[Record]) -> Iterator[Line]:
    """A line for each number, in the order of the profile."""
    by_label: dict[tuple[str, str], list[Record]] = {}
    for label, record in zip(distinct_labels(records), records, strict=True):
        by_label.setdefault((_name(record), label), []).append(record)
    for name, called in _NUMBERS.items():
        mine = [(label, found) for (known, label), found in by_label.items() if known == name]
        for label, found in mine:
            yield Line(_called(called, label, found[0]), same(found), name in _LEVELS)


def _called(called: str, label: str, record: Record) -> str:
    """The short name, with what tells this line from others of the same number."""
    rest = label.removeprefix(record.id).removeprefix(_name(record)).strip()
    plain = token_condition(record)
    below = record.options.get("cosine_below")
    if below is not None and plain == f"cosine_below={below}":
        rest = rest.replace(plain, f"where cosine < {below}")
    return f"{called}, {rest}" if rest else called


def _meaning(records: Sequence[Record]) -> str:
    """What the highest cosine goes with, in words: the point of the figure."""
    parts = []
    for name in ("cosine.raw", "latent_overlap.topk"):
        mine = [r for r in records if _name(r) == name and r.value is not None]
        if not mine or any(token_condition(record) for record in mine):
            return "Numbers of a pair by depth."
        parts.append({r.axes["site"]: r for r in sorted_by_depth(mine)})
    cosines, overlaps = parts
    both = [site for site in cosines if site in overlaps]
    told = [
        f"{site}: cosine {format_number(cosines[site].value or 0)}, "
        f"overlap {format_number(overlaps[site].value or 0)}"
        for site in both
    ]
    return f"Dense cosine beside sparse overlap. {'; '.join(told)}."


def _name(record: Record) -> str:
    return record.id.partition("@")[0]


def _apart(record: Record) -> bool:
    """Whether it belongs to a category, an analysis or an experiment: tables have these."""
    return bool(record.axes.keys() & {"domain", "analysis", "experiment", "direction"})
