"""One chart: numbers against depth, with intervals and the values that they should be read by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.contract import JSON, Figure, Record
from harness.results.by_site import block_site, sites_by_depth
from harness.results.numbers import format_estimate, format_number
from harness_sections.charts.styles import Look, looks

_GREY = "#767676"
_MARGIN = 0.35
"""Room beside the first and the last block, in blocks at most."""


@dataclass(frozen=True)
class Line:
    """One number at several sites; `faint` draws it as a level to read others by."""

    label: str
    records: tuple[Record, ...]
    faint: bool = False


def figure(title: str, meaning: str, lines: Sequence[Line], y_title: str = "") -> Figure:
    """The chart. Sites of one kind are placed by their block, others side by side.

    A dotted line shows what the lines would be, were both models the same (`Record.null`). Where
    several SAEs are at a site, points are not joined: nothing says which belong together.
    """
    sites = sites_by_depth([r.axes["site"] for line in lines for r in line.records])
    axis = _Axis(sites)
    styles = looks(line.label for line in lines if not line.faint)
    data = [*_nulls(lines, axis)]
    for line in lines:
        data.append(_trace(line, axis, styles.get(line.label)))
    drawn = [r for line in lines for r in line.records]
    values = [v for r in drawn for v in (r.value, null(r), *(r.ci or ())) if v is not None]
    top, bottom = max(values, default=1.0), min([0.0, *values])
    room = (top - bottom) * 0.05 or 0.05
    layout = {
        "xaxis": axis.layout(),
        "yaxis": {"title": {"text": y_title}, "range": [bottom - room, top + room]},
        "height": 340 + 20 * len(data),
    }
    rows = [_row(line.label, record) for line in lines for record in line.records]
    return Figure(title, f"{meaning} {_ends(lines, sites)}", data, layout, rows)


def same(records: Sequence[Record]) -> tuple[Record, ...]:
    """Without what was measured again: one number for a site that several SAEs share."""
    found: dict[tuple[str, float | None], Record] = {}
    for record in records:
        found.setdefault((str(record.axes["site"]), record.value), record)
    return tuple(found.values())


class _Axis:
    """Where sites lie: at their block's number, or one after another."""

    def __init__(self, sites: Sequence[JSON]) -> None:
        known = [found for site in sites if (found := block_site(site)) is not None]
        kinds = {found.kind for found in known}
        self._by_block = len(known) == len(sites) and len(kinds) == 1
        self._kind = next(iter(kinds), "")
        self._sites = sites

    def __call__(self, site: JSON) -> int | str:
        found = block_site(site) if self._by_block else None
        return str(site) if found is None or found.layer is None else found.layer

    @property
    def ends(self) -> list[int | str]:
        places = [self(site) for site in self._sites]
        return [places[0], places[-1]] if places else []

    def layout(self) -> dict[str, Any]:
        places = [self(site) for site in self._sites]
        blocks = [place for place in places if isinstance(place, int)]
        if not self._by_block or not blocks:
            return {"type": "category", "categoryorder": "array", "categoryarray": places}
        room = min(_MARGIN, max(0.1, (blocks[-1] - blocks[0]) * 0.08))
        return {
            "title": {"text": f"block ({self._kind})"},
            "tickvals": blocks,
            "ticktext": [str(block) for block in blocks],
            "range": [blocks[0] - room, blocks[-1] + room],
        }


def _trace(line: Line, axis: _Axis, look: Look | None) -> dict[str, Any]:
    records = sorted_by_depth(line.records)
    places = [axis(record.axes["site"]) for record in records]
    joined = len(set(places)) == len(places)
    colour = look.colour if look else _GREY
    values = [record.value for record in records]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers" if joined else "markers",
        "name": line.label,
        "x": places,
        "y": values,
        "line": {"color": colour, "width": 2, "dash": look.dash if look else "dot"},
        "marker": {"color": colour, "size": 8, "symbol": look.marker if look else "line-ew"},
    }
    if look is None:
        trace["marker"] |= {"line": {"color": colour, "width": 2}}
    if any(record.ci for record in records):
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [_gap(record, 1) for record in records],
            "arrayminus": [_gap(record, 0) for record in records],
            "color": colour,
            "thickness": 1.2,
            "width": 3,
        }
    return trace


def sorted_by_depth(records: Sequence[Record]) -> list[Record]:
    """The records by their site's depth; those at one site in their order."""
    places = {site: n for n, site in enumerate(sites_by_depth([r.axes["site"] for r in records]))}
    return sorted(records, key=lambda record: places[record.axes["site"]])


def _gap(record: Record, end: int) -> float:
    if record.value is None or record.ci is None:
        return 0.0
    return max(0.0, (record.ci[end] - record.value) * (1 if end else -1))


def null(record: Record) -> float | None:
    """What a record would be, were both models the same, where that is known."""
    value = (record.null or {}).get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)


def _nulls(lines: Sequence[Line], axis: _Axis) -> Iterator[dict[str, Any]]:
    """A level for each value that lines would have, were both models the same."""
    levels: dict[float, list[str]] = {}
    for line in lines:
        for value in dict.fromkeys(map(null, line.records)):
            if value is not None:
                levels.setdefault(value, []).append(line.label)
    for value, of in levels.items():
        yield {
            "type": "scatter",
            "mode": "lines",
            "name": f"if nothing differed{_of(of, lines)}",
            "x": axis.ends,
            "y": [value, value],
            "line": {"color": _GREY, "width": 1.2, "dash": "dot"},
            "hoverinfo": "skip",
        }


def _of(labels: Sequence[str], lines: Sequence[Line]) -> str:
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


def _row(label: str, record: Record) -> dict[str, Any]:
    low, high = record.ci or (None, None)
    row: dict[str, Any] = {"number": label, "site": str(record.axes["site"])}
    if record.axes.get("sae") is not None:
        row["sae"] = str(record.axes["sae"])
    row |= {"value": record.value, "from": low, "to": high, "if nothing differed": null(record)}
    row["n"] = f"{record.n:,} {record.n_of}"
    if record.undefined:
        row["why there is none"] = record.undefined
    return row


def _ends(lines: Sequence[Line], sites: Sequence[JSON]) -> str:
    """The first and the last site in words."""
    parts = []
    for line in lines:
        records = sorted_by_depth(line.records)
        if len(records) == 1:
            parts.append(f"{line.label} {format_estimate(records[0])}")
        elif records:
            first, last = records[0], records[-1]
            parts.append(f"{line.label} {_value(first)} to {_value(last)}")
    where = f"From {sites[0]} to {sites[-1]}" if len(sites) > 1 else f"At {sites[0]}"
    return f"Bars are 95% intervals. {where}: {'; '.join(parts)}."


def _value(record: Record) -> str:
    return "undefined" if record.value is None else format_number(record.value)


def place(pair: JSON, data: JSON) -> str:
    """A pair and its data in words."""
    return f"{pair}" + ("" if data is None or data == pair else f" on {data}")
