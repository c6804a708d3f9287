"""The forecast of each domain, alone and against what fine-tuning did to its accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.contract import JSON, Figure, Record
from harness.results import format_estimate, format_number, named, null_value
from harness_sections.charts.dots import dots
from harness_sections.charts.label_sides import label_sides
from harness_sections.charts.layout import padded, short_label
from harness_sections.charts.points import (
    Line,
    Point,
    chance_points,
    error_bars,
    point_of,
    record_row,
)
from harness_sections.charts.styles import distinct_styles
from harness_sections.variants import by_name_on, titled, variants

SCORES = ("sts.act", "sts.icl")
"""Forecasts that have figures; baselines are in the table of correlations."""
_PLACES = ("domain", "analysis", "experiment", "view", "model", "direction", "evaluator", "task")
_MOST = 8
"""Figures of one kind."""
_ROOM = 0.12
"""Room for labels on either side, as a share of the width."""


_Both = tuple[Record, Record]
"""The forecast of a domain, and the change of its accuracy."""


@dataclass(frozen=True)
class Transfer:
    """One comparison of forecasts with what happened."""

    name: str
    forecasts: str
    """The analysis that made them."""
    changes: Mapping[str, Record]
    """By domain, in percentage points."""
    arms: Mapping[str, Any]
    """Options that say which accuracies it compared."""


def transfers(records: Sequence[Record]) -> list[Transfer]:
    """The comparisons, from records of changes and of correlations."""
    found = []
    both = [*named(records, "accuracy.change"), *named(records, "sts.correlation.pearson")]
    for name, mine in by_name_on(both, "analysis").items():
        options = mine[0].options
        changes = {domain_key(r): r for r in named(mine, "accuracy.change") if "domain" in r.axes}
        arms = {key: options.get(key) for key in ("before", "after", "evaluator")}
        found.append(Transfer(name, str(options.get("sts")), changes, arms))
    return found


def scatters(records: Sequence[Record], one: Transfer) -> Iterator[Figure]:
    """Each forecast against the size of the change, a point for each domain."""
    for id in SCORES:
        for label, forecasts in _forecasts(records, id, one.forecasts).items():
            pairs = [
                (record, one.changes[domain_key(record)])
                for record in forecasts
                if domain_key(record) in one.changes
            ]
            drawn = [(of, to) for of, to in pairs if None not in (of.value, to.value)]
            if len(drawn) > 1:
                title = titled(f"{id} against the change of accuracy", one.name, label)
                yield _scatter(title, id, drawn, pairs, _association(records, one, id))


def _scatter(
    title: str, id: str, drawn: Sequence[_Both], pairs: Sequence[_Both], association: str
) -> Figure:
    drawn = sorted(drawn, key=lambda both: both[0].value or 0.0)
    xs = [point_of(record.axes["domain"], record) for record, _ in drawn]
    ys = [_size(change) for _, change in drawn]
    colour = distinct_styles([id])[id].colour
    ends = [v for one in xs for v in (one.value, one.low, one.high) if v is not None]
    x_range = padded(min(ends), max(ends), _ROOM, 0.5)
    top = max(one.high if one.high is not None else one.value or 0.0 for one in ys) or 1.0
    y_range = [-0.08 * top, 1.08 * top]
    texts = [short_label(one.at, 18) for one in xs]
    places = [one.value or 0.0 for one in xs], [one.value or 0.0 for one in ys]
    trace = {
        "type": "scatter",
        "mode": "markers+text",
        "name": id,
        "x": [one.value for one in xs],
        "y": [one.value for one in ys],
        "text": texts,
        "textposition": label_sides(*places, texts, x_range, y_range),
        "cliponaxis": False,
        "marker": {"color": colour, "size": 9},
        "error_x": {**error_bars(xs, colour), "thickness": 0.8},
        "error_y": {**error_bars(ys, colour), "thickness": 0.8},
    }
    layout = {
        "xaxis": {"title": {"text": id}, "range": x_range},
        "yaxis": {"title": {"text": "|change|, percentage points"}, "range": y_range},
        "showlegend": False,
        "height": 420,
    }
    words = "; ".join(
        f"{x.at} {x.text} and {format_number(change.value or 0.0)} points"
        for x, (_, change) in zip(xs, drawn, strict=True)
    )
    rows = [_row(id, record, change) for record, change in pairs]
    meaning = (
        "A point for each domain: its STS, and the size of what fine-tuning did to the accuracy. "
        f"Bars are 95% intervals. {association}"
    )
    return Figure(
        title,
        f"{meaning} {words}.",
        [trace],
        layout,
        rows,
        [record for both in drawn for record in both],
    )


def _size(change: Record) -> Point:
    """|change|, and the interval of it: from 0 where the sign is open."""
    value = None if change.value is None else abs(change.value)
    if change.ci is None or value is None:
        return Point(None, value)
    ends = sorted(abs(end) for end in change.ci)
    low = 0.0 if change.ci[0] <= 0 <= change.ci[1] else ends[0]
    return Point(None, value, low, ends[1])


def _row(id: str, record: Record, change: Record) -> dict[str, JSON]:
    low, high = record.ci or (None, None)
    return {
        "domain": str(record.axes["domain"]),
        id: record.value,
        "from": low,
        "to": high,
        "of random dimensions": null_value(record),
        "change, points": format_estimate(change),
        "why there is none": record.undefined or change.undefined or "",
    }


def _association(records: Sequence[Record], one: Transfer, id: str) -> str:
    """`Pearson 0.33 [-0.81, 0.89] over all 9 domains.`, where there is one for this forecast."""
    mine = [
        r
        for r in named(records, "sts.correlation.pearson")
        if r.axes.get("analysis") == one.name
        and (r.axes.get("forecast"), r.axes.get("domains")) == (id, "all")
    ]
    if len(mine) != 1:
        return ""
    return f"Pearson {format_estimate(mine[0])} over all {mine[0].n} domains."


def unmatched_forecasts(records: Sequence[Record], name: str) -> Iterator[Figure]:
    """The forecasts of an analysis that nothing was measured against."""
    for id in SCORES:
        for label, mine in _forecasts(records, id, name).items():
            ordered = sorted(mine, key=lambda record: -(record.value or 0.0))
            lines = [Line(id, tuple(point_of(r.axes["domain"], r) for r in ordered))]
            if marks := chance_points({r.axes["domain"]: r for r in ordered}):
                lines.append(Line("as many random dimensions", marks, faint=True))
            yield dots(
                titled(f"{id} of each domain", name, label),
                "The forecast alone: no change of accuracy was held against it. Bars are 95% "
                "intervals over documents.",
                lines,
                ("domain", id),
            )


def accuracies(records: Sequence[Record], one: Transfer) -> Iterator[Figure]:
    """Accuracy before and after, with intervals; domains by their change."""
    lines = []
    for key in ("before", "after"):
        mine = {domain_key(r): r for r in _of_arm(records, one, key)}
        ordered = sorted(one.changes.items(), key=lambda item: item[1].value or 0.0)
        points = [
            replace(point_of(change.axes["domain"], r), row=_both(r, change, key))
            for domain, change in ordered
            if (r := mine.get(domain)) is not None
        ]
        if points:
            lines.append(Line(key, tuple(points)))
    if len(lines) == 2:
        yield dots(
            titled("Accuracy before and after", one.name),
            "Share of right answers of each domain, the largest loss first; bars are 95% "
            "intervals over questions. The rows have the change with an interval over the same "
            "questions.",
            lines,
            ("domain", "accuracy"),
            span=(-0.02, 1.02),
        )


def _both(record: Record, change: Record, key: str) -> dict[str, JSON]:
    text = format_estimate(change) if key == "after" else ""
    return record_row(record) | {"change, points": text}


def _of_arm(records: Sequence[Record], one: Transfer, key: str) -> list[Record]:
    """The accuracies by domain of one of the two arms."""
    arm, evaluator = one.arms.get(key), one.arms.get("evaluator")
    if not isinstance(arm, Mapping):
        return []
    wanted = {"experiment": arm.get("experiment"), "direction": arm.get("direction", "none")}
    if evaluator is not None:
        wanted["evaluator"] = evaluator
    return [
        r
        for r in named(records, "accuracy")
        if "domain" in r.axes and all(r.axes.get(k) == v for k, v in wanted.items())
    ]


def _forecasts(records: Sequence[Record], id: str, analysis: str) -> dict[str, list[Record]]:
    """One forecast's records by domain, for each variant of it."""
    mine = [
        r for r in named(records, id) if "domain" in r.axes and r.axes.get("analysis") == analysis
    ]
    return dict(list(variants(mine, _PLACES).items())[:_MOST])


def domain_key(record: Record) -> str:
    """A domain's name as analyses compare it: `computer science` is `computer_science`."""
    return "_".join(str(record.axes.get("domain")).strip().lower().split())
