"""A chart of numbers against depth, with intervals and the values that they should be read by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.contract import JSON, Figure, Record
from harness.results import (
    block_site,
    format_estimate,
    format_number,
    grouped,
    null_value,
    sites_by_depth,
    sorted_by_depth,
)
from harness_sections.charts.layout import padded
from harness_sections.charts.points import Line, line_trace, point_of, record_row
from harness_sections.charts.styles import GREY, distinct_styles

_MARGIN = 0.35
"""Room beside the first and the last block, in blocks at most."""


@dataclass(frozen=True)
class DepthLine:
    """One number at several sites; a faint line is drawn in grey, for comparison with others."""

    label: str
    records: tuple[Record, ...]
    faint: bool = False


def depth_figure(title: str, meaning: str, lines: Sequence[DepthLine], y_title: str = "") -> Figure:
    """The chart. Sites of one kind are placed by their block, others side by side.

    A dotted line shows what the lines would be, were both models the same (`Record.null`). Where
    several SAEs are at a site, points are not joined: nothing says which belong together.
    """
    drawn = [record for line in lines for record in line.records]
    sites = sites_by_depth([record.axes["site"] for record in drawn])
    kind, places = _placed(sites)
    styles = distinct_styles(line.label for line in lines if not line.faint)
    data = list(_null_levels(lines, [places[sites[0]], places[sites[-1]]]))
    for line in lines:
        points = [point_of(places[r.axes["site"]], r) for r in sorted_by_depth(line.records)]
        joined = len({one.at for one in points}) == len(points)
        shown = Line(line.label, tuple(points), line.faint)
        data.append(line_trace(shown, styles, joined=joined))
    values = [v for r in drawn for v in (r.value, null_value(r), *(r.ci or ())) if v is not None]
    y_range = padded(min([0.0, *values]), max(values, default=1.0), 0.05, 0.05)
    layout = {
        "xaxis": _x_axis(kind, list(places.values())),
        "yaxis": {"title": {"text": y_title}, "range": y_range},
        "height": 340 + 20 * len(data),
    }
    rows = [_row(line.label, record) for line in lines for record in line.records]
    return Figure(title, f"{meaning} {_ends(lines, sites)}", data, layout, rows, drawn)


def once_per_site(records: Sequence[Record]) -> tuple[Record, ...]:
    """The records without repeated ones: several SAEs at one site share what needs no SAE."""
    by_place = grouped(records, lambda record: (str(record.axes["site"]), record.value))
    return tuple(same[0] for same in by_place.values())


def spans_sites(lines: Sequence[DepthLine]) -> bool:
    """Whether the lines have records at two sites or more."""
    return len({record.axes["site"] for line in lines for record in line.records}) > 1


def pair_title(pair: JSON, data: JSON) -> str:
    """A pair and its data in words."""
    return f"{pair}" if data is None or data == pair else f"{pair} on {data}"


def _placed(sites: Sequence[JSON]) -> tuple[str | None, dict[JSON, Any]]:
    """Where sites lie on the x axis: at the numbers of blocks of one kind, or side by side."""
    known = {site: found for site in sites if (found := block_site(site)) is not None}
    kinds = {found.kind for found in known.values()}
    if len(known) < len(sites) or len(kinds) != 1:
        return None, {site: str(site) for site in sites}
    return kinds.pop(), {site: found.layer for site, found in known.items()}


def _x_axis(kind: str | None, places: Sequence[Any]) -> dict[str, Any]:
    if kind is None:
        return {"type": "category", "categoryorder": "array", "categoryarray": places}
    room = min(_MARGIN, max(0.1, (places[-1] - places[0]) * 0.08))
    return {
        "title": {"text": f"block ({kind})"},
        "tickvals": places,
        "ticktext": [str(block) for block in places],
        "range": [places[0] - room, places[-1] + room],
    }


def _null_levels(lines: Sequence[DepthLine], ends: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """A dotted level for each value that lines would have, were both models the same."""
    levels: dict[float, list[str]] = {}
    for line in lines:
        for value in dict.fromkeys(map(null_value, line.records)):
            if value is not None:
                levels.setdefault(value, []).append(line.label)
    for value, labels in levels.items():
        yield {
            "type": "scatter",
            "mode": "lines",
            "name": f"if nothing differed{_which_lines(labels, lines)}",
            "x": ends,
            "y": [value, value],
            "line": {"color": GREY, "width": 1.2, "dash": "dot"},
            "hoverinfo": "skip",
        }


def _which_lines(labels: Sequence[str], lines: Sequence[DepthLine]) -> str:
    """Which lines a level is for, where it is not for all: by the shorter of the two lists."""
    known = [label.partition(",")[0] for label in labels]
    others = [
        line.label.partition(",")[0]
        for line in lines
        if line.label not in labels and not line.faint
    ]
    if not others:
        return ""
    return f" ({', '.join(known)})" if len(known) <= len(others) else f" (not {', '.join(others)})"


def _row(label: str, record: Record) -> dict[str, JSON]:
    row: dict[str, JSON] = {"number": label, "site": str(record.axes["site"])}
    if record.axes.get("sae") is not None:
        row["sae"] = str(record.axes["sae"])
    return row | record_row(record, {"if nothing differed": null_value(record)})


def _ends(lines: Sequence[DepthLine], sites: Sequence[JSON]) -> str:
    """The first and the last site in words."""
    parts = []
    for line in lines:
        records = sorted_by_depth(line.records)
        if len(records) == 1:
            parts.append(f"{line.label} {format_estimate(records[0])}")
        elif records:
            first, last = (format_number(record.value) for record in (records[0], records[-1]))
            parts.append(f"{line.label} {first} to {last}")
    where = f"From {sites[0]} to {sites[-1]}" if len(sites) > 1 else f"At {sites[0]}"
    return f"Bars are 95% intervals. {where}: {'; '.join(parts)}."
