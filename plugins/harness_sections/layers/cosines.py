"""How the cosines of the tokens are spread, at each depth: the mean hides the tokens that moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.contract import JSON, Figure, Prose, Record
from harness.results import (
    format_estimate,
    format_number,
    named,
    record_name,
    records_by_pair,
    sites_by_depth,
    token_condition,
)
from harness_sections.charts.depth import pair_title
from harness_sections.charts.styles import distinct_styles
from harness_sections.layers.lines import ELSEWHERE

_QUANTILES = {"05": "lowerfence", "25": "q1", "50": "median", "75": "q3", "95": "upperfence"}
"""Percent, and what plotly calls them."""
_MOST = 7
_NAMES = {f"cosine.quantile_{percent}": percent for percent in _QUANTILES}


def cosine_boxes(records: Sequence[Record]) -> list[Figure | Prose]:
    """Boxes by site, a colour for each pair, and the shares of tokens that are far apart."""
    quantiles = [record for record in named(records, *_NAMES) if _counts_all(record)]
    found = records_by_pair(quantiles)
    boxes = {key: mine for key, these in found.items() if (mine := dict(_boxes(these)))}
    if not boxes:
        return []
    shown = dict(list(boxes.items())[:_MOST])
    blocks: list[Figure | Prose] = [_figure(shown)]
    shares = [share for key in shown for share in _shares(key, records)]
    if shares:
        blocks.append(Prose(f"Tokens below the threshold: {'; '.join(shares)}."))
    if more := len(boxes) - len(shown):
        blocks.append(Prose(f"The cosines of {more} further pairs are in the tables below."))
    return blocks


_Key = tuple[JSON, JSON]
"""A pair and its data."""


def _counts_all(record: Record) -> bool:
    """Whether it counts all tokens: those that a filter chose by their cosine tell nothing."""
    return not token_condition(record) and not record.axes.keys() & ELSEWHERE


def _boxes(records: Sequence[Record]) -> Iterator[tuple[JSON, dict[str, Record]]]:
    """For each site, its quantiles; only where all of them were measured."""
    sites: dict[JSON, dict[str, Record]] = {}
    for record in records:
        percent = _NAMES[record_name(record)]
        sites.setdefault(record.axes["site"], {}).setdefault(percent, record)
    for site in sites_by_depth(list(sites)):
        if len(sites[site]) == len(_QUANTILES):
            yield site, sites[site]


def _figure(boxes: dict[_Key, dict[JSON, dict[str, Record]]]) -> Figure:
    styles = distinct_styles(pair_title(*key) for key in boxes)
    data: list[dict[str, Any]] = []
    rows: list[dict[str, JSON]] = []
    medians: list[str] = []
    for key, mine in boxes.items():
        name = pair_title(*key)
        style = styles[name]
        trace: dict[str, Any] = {
            "type": "box",
            "name": name,
            "x": [str(site) for site in mine],
            "line": {"color": style.colour, "width": 1.5},
            "fillcolor": style.shade(),
        }
        for percent, called in _QUANTILES.items():
            trace[called] = [found[percent].value for found in mine.values()]
        data.append(trace)
        for site, found in mine.items():
            row: dict[str, JSON] = {"pair": name, "site": str(site)}
            row |= {f"{int(percent)}%": format_estimate(found[percent]) for percent in _QUANTILES}
            row["n"] = f"{found['50'].n:,} {found['50'].n_of}"
            rows.append(row)
        middles = [
            f"{site} {format_number(found['50'].value or 0)}" for site, found in mine.items()
        ]
        medians.append(f"{name} {', '.join(middles)}")
    sites = sites_by_depth([site for mine in boxes.values() for site in mine])
    layout = {
        "boxmode": "group",
        "showlegend": len(boxes) > 1,
        "xaxis": {
            "type": "category",
            "categoryarray": [str(site) for site in sites],
            "title": {"text": "site"},
        },
        "yaxis": {"title": {"text": "cosine of a token"}},
    }
    words = (
        "Cosine of the two models' activations at a token: boxes from 25% to 75% of the tokens "
        f"with the median, whiskers from 5% to 95%. Were both models the same, all are 1. "
        f"Medians: {'; '.join(medians)}."
    )
    shown = [
        record for mine in boxes.values() for five in mine.values() for record in five.values()
    ]
    return Figure("Cosine of activations, over tokens", words, data, layout, rows, shown)


def _shares(key: _Key, records: Sequence[Record]) -> Iterator[str]:
    """`web: 28% under 0.9 at resid_post.2, ...`."""
    mine: dict[_Key, Record] = {}
    for r in named(records, "cosine.share_below"):
        at = (r.axes.get("pair"), r.axes.get("data")) == key and "site" in r.axes
        if at and r.value is not None and _counts_all(r):
            mine.setdefault((str(r.options.get("below")), r.axes["site"]), r)
    if mine:
        parts = [
            f"{100 * (r.value or 0):.0f}% under {below} at {site}"
            for (below, site), r in mine.items()
        ]
        yield f"{pair_title(*key)}: {', '.join(parts)}"
