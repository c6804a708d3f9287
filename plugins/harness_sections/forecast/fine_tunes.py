"""Forecasts over several fine-tunes: first the power, then samples, intervals and baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.contract import JSON, Figure, Grid, Prose, Record, Results
from harness.results import format_estimate, format_number, grouped, named
from harness_sections.charts.dots import dots
from harness_sections.charts.points import Line, cell_text, point_of, reason_sentences
from harness_sections.charts.styles import Style, distinct_styles
from harness_sections.variants import by_name_on, titled

_CORRELATION, _DIFFERENCE = "forecast.correlation", "forecast.difference"
_POWER, _P, _CHANGE = "forecast.power", "forecast.permutation_p", "forecast.change"
_OWN_AXES = frozenset({
    "analysis", "forecast", "against", "within", "samples", "over", "exchanged", "correlation",
    "shares",
})  # fmt: skip
"""Axes of this analysis itself; others tell the variants of a sweep apart."""
_OVER = {
    "fine-tunes": "for other fine-tunes on these domains",
    "either": "for other domains, too",
}
_BASELINE = "sts.baseline."
_SCORES = 4
"""Forecasts that have a figure of their samples."""
_COLUMNS = (
    "forecast", "within fine-tunes", "other domains, too", "p apart", "p together",
    "all pooled", "within domains", "with own domains",
)  # fmt: skip
_HOW = (
    "A sample is a fine-tune in a domain; domains that a fine-tune was trained on are left out but "
    "in the last column. Brackets are 95% intervals over fine-tunes, those of the third column the "
    "wider of that and of one over domains. p: forecasts given out anew in each fine-tune alone "
    "(apart), or to whole domains (together), which alone holds where changes are alike in all "
    "fine-tunes. other_tunes and probe look at outcomes, as no forecast may."
)


def forecast_by(records: Sequence[Record]) -> set[str]:
    """The analyses whose forecasts of several fine-tunes were held against what happened."""
    return {
        str(tune["sts"])
        for record in named(records, _CHANGE)
        for tune in _tunes(record)
        if isinstance(tune, Mapping) and "sts" in tune
    }


def over_fine_tunes(results: Results) -> Iterator[Prose | Figure | Grid]:
    """Everything about each such comparison, its power first."""
    records = results.records
    for name in by_name_on(named(records, _POWER, _CORRELATION), "analysis"):
        mine = [record for record in records if record.axes.get("analysis") == name]
        yield Prose("\n".join([*_powers(mine), *_headlines(mine)]))
        yield from _scatters(name, mine, results.tables.get(f"{name}.samples", ()))
        yield from _intervals(name, mine)
        yield from _correlations(name, mine)
        yield from _differences(name, mine)
        yield from _each(name, results.tables.get(f"{name}.within", ()))


# ── Words ────────────────────────────────────────────────────────────────────────────────────────


def _powers(records: Sequence[Record]) -> Iterator[str]:
    """What could have been seen, before what was seen."""
    for (shares, forecast), found in grouped(
        named(records, _POWER), lambda r: (r.axes.get("shares"), r.axes.get("forecast"))
    ).items():
        first = found[0]
        tunes = len(_tunes(first))
        chances = ", ".join(
            f"{_percent(one)} {_OVER.get(str(one.axes.get('over')), '')}" for one in found
        )
        of = f"a true correlation of {format_number(_number(first, 'correlation'))}"
        if shares == "stated":
            plan = first.options.get("plan")
            given = plan if isinstance(plan, Mapping) else {}
            yield (
                f"Power, before anything was measured: with {tunes} fine-tunes and "
                f"{given.get('domains')} domains, {of} within fine-tunes is told from 0 with a "
                f"chance of {chances}."
            )
        else:
            yield f"With what varied as measured, for {forecast}: {chances}."


def _headlines(records: Sequence[Record]) -> Iterator[str]:
    """The correlations of the scores within fine-tunes, in words."""
    for record in _headline(records):
        forecast = str(record.axes.get("forecast", ""))
        if record.axes.get("over") == "fine-tunes" and not forecast.startswith(_BASELINE):
            why = f" ({record.undefined})" if record.undefined else ""
            yield (
                f"Within fine-tunes, Pearson's r of {forecast} with the size of the change is "
                f"{format_estimate(record)}{why}, over {record.n} samples of {record.clusters} "
                "fine-tunes."
            )


def _percent(record: Record) -> str:
    return "undefined" if record.value is None else f"{100 * record.value:.0f}%"


def _number(record: Record, axis: str) -> float | None:
    value = record.axes.get(axis)
    return float(value) if isinstance(value, (int, float)) else None


# ── Figures ──────────────────────────────────────────────────────────────────────────────────────


def _scatters(
    name: str, records: Sequence[Record], rows: Sequence[Mapping[str, Any]]
) -> Iterator[Figure]:
    """For each score a point for each sample, as far from its fine-tune's mean."""
    known = {"fine_tune", "domain", "change"}
    rows = [row for row in rows if known <= row.keys() and not row.get("own")]
    columns = [
        column
        for column in (rows[0] if rows else ())
        if column.startswith("sts.") and not column.startswith(_BASELINE)
    ]
    for column in columns[:_SCORES]:
        drawn = [row for row in rows if row.get(column) is not None]
        if len(drawn) < 2:
            continue
        by_tune = grouped(drawn, lambda row: str(row["fine_tune"]))
        data, shown = [], []
        for tune, style in _styles(list(by_tune)).items():
            mine = by_tune[tune]
            sizes = [abs(float(row["change"])) for row in mine]
            xs = _centred([float(row[column]) for row in mine])
            ys = _centred(sizes)
            data.append({
                "type": "scatter", "mode": "markers", "name": tune, "x": xs, "y": ys,
                "text": [f"{tune} in {row['domain']}" for row in mine], "hoverinfo": "text+name",
                "marker": {"color": style.colour, "symbol": style.marker, "size": 8},
            })  # fmt: skip
            shown += [
                {"fine-tune": tune, "domain": str(row["domain"]), column: row[column],
                 "|change|, points": size, "less its mean": x, "|change| less its mean": y}
                for row, size, x, y in zip(mine, sizes, xs, ys, strict=True)
            ]  # fmt: skip
        layout = {
            "xaxis": {"title": {"text": f"{column}, less the fine-tune's mean"}},
            "yaxis": {"title": {"text": "|change|, points, less the fine-tune's mean"}},
            "height": 460,
            "showlegend": True,
        }
        words = (
            f"A point for each of {len(drawn)} samples of {len(by_tune)} fine-tunes, without what "
            "each was trained on: how far its forecast, and the size of what happened, lie from "
            "the mean of its fine-tune."
        )
        behind = [
            record
            for record in [*_headline(records), *named(records, _CHANGE)]
            if record.id.startswith(_CHANGE) or record.axes.get("forecast") == column
        ]
        yield Figure(titled(f"{column} against the change", name), words, data, layout, shown,
                     behind)  # fmt: skip


def _styles(tunes: Sequence[str]) -> dict[str, Style]:
    """A colour and marker for each; where colours come again, the markers are hollow."""
    found, met = dict[str, Style](), set[tuple[str, str]]()
    for tune, style in distinct_styles(tunes).items():
        again = (style.colour, style.marker) in met
        met.add((style.colour, style.marker))
        found[tune] = replace(style, marker=f"{style.marker}-open") if again else style
    return found


def _centred(values: Sequence[float]) -> list[float]:
    mean = sum(values) / len(values)
    return [value - mean for value in values]


def _intervals(name: str, records: Sequence[Record]) -> Iterator[Figure]:
    """r within fine-tunes of each forecast and baseline, with both intervals."""
    mine = _ordered([one for one in _headline(records) if one.value is not None])
    by_over = grouped(mine, lambda r: str(r.axes.get("over")))
    lines = [
        Line(_OVER.get(over, over), tuple(point_of(_name(one), one) for one in found))
        for over, found in by_over.items()
    ]
    if lines:
        yield dots(
            titled("Correlation within fine-tunes", name),
            "Pearson's r of each forecast with the size of the change, scores first, then "
            "baselines. Bars are 95% intervals.",
            lines,
            ("forecast", "Pearson's r within fine-tunes"),
            span=(-1.05, 1.05),
        )


# ── Tables ───────────────────────────────────────────────────────────────────────────────────────


def _correlations(name: str, records: Sequence[Record]) -> Iterator[Grid]:
    """A row for each forecast: r in all ways, and p."""
    mine = named(records, _CORRELATION, _P)
    rows = []
    for forecast, found in grouped(_ordered(mine), _name).items():
        ours = {"within": "fine-tune", "samples": "others"}
        cells = [
            _one(found, _CORRELATION, **ours, over="fine-tunes"),
            _one(found, _CORRELATION, **ours, over="either"),
            _one(found, _P, **ours, exchanged="apart"),
            _one(found, _P, **ours, exchanged="together"),
            _one(found, _CORRELATION, within="nothing", samples="others", over="fine-tunes"),
            _one(found, _CORRELATION, within="domain", samples="others", over="fine-tunes"),
            _one(found, _CORRELATION, within="fine-tune", samples="all", over="fine-tunes"),
        ]
        rows.append([forecast, *(cell_text(one) for one in cells)])
    if rows:
        note = " ".join([_HOW, *reason_sentences(mine)])
        yield Grid(titled("Correlations over fine-tunes", name), _COLUMNS, rows, note)


def _differences(name: str, records: Sequence[Record]) -> Iterator[Grid]:
    """r of a score less r of each baseline, within fine-tunes."""
    mine = [r for r in named(records, _DIFFERENCE) if r.axes.get("within") == "fine-tune"]
    scores = list(dict.fromkeys(_name(record) for record in mine))
    rows = []
    for against, found in grouped(mine, lambda r: str(r.axes.get("against"))).items():
        for score in scores:
            of = [record for record in found if _name(record) == score]
            if of:
                ends = [_one(of, _DIFFERENCE, over=over) for over in _OVER]
                rows.append([score, _short(against), *(cell_text(one) for one in ends)])
    if rows:
        note = " ".join(
            ["r of the score less r of the baseline, of the same samples.", *reason_sentences(mine)]
        )
        columns = ["score", "less the baseline", *_OVER.values()]
        yield Grid(titled("Scores against baselines", name), columns, rows, note)


def _each(name: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[Grid]:
    """r in each fine-tune by itself."""
    known = ("fine_tune", "domains")
    if not rows or not rows[0].keys() >= set(known):
        return
    columns = [column for column in rows[0] if column not in known]
    cells: list[list[JSON]] = [
        [str(row["fine_tune"]), int(row["domains"]), *(_cell(row.get(one)) for one in columns)]
        for row in rows
    ]
    heads = ["fine-tune", "domains", *(_short(column) for column in columns)]
    note = "Pearson's r over the domains of one fine-tune; each by itself says next to nothing."
    yield Grid(titled("Each fine-tune by itself", name), heads, cells, note, folded=True)


def _cell(value: Any) -> str:
    return "" if value is None else format_number(float(value))


def _headline(records: Sequence[Record]) -> list[Record]:
    ours = ("fine-tune", "others")
    return [
        record
        for record in named(records, _CORRELATION)
        if (record.axes.get("within"), record.axes.get("samples")) == ours
    ]


def _ordered(records: Sequence[Record]) -> list[Record]:
    """Scores first."""
    return sorted(records, key=lambda r: str(r.axes.get("forecast", "")).startswith(_BASELINE))


def _name(record: Record) -> str:
    """A forecast, with the variant of a sweep where there is one."""
    more = [f"{key}={value}" for key, value in record.axes.items() if key not in _OWN_AXES]
    return ", ".join([_short(str(record.axes.get("forecast", ""))), *more])


def _short(forecast: str) -> str:
    name = forecast.removeprefix(_BASELINE)
    return f"baseline: {name.replace('_', ' ')}" if name != forecast else forecast


def _one(records: Sequence[Record], id: str, **axes: str) -> Record | None:
    for record in named(records, id):
        if all(record.axes.get(key) == value for key, value in axes.items()):
            return record
    return None


def _tunes(record: Record) -> Sequence[JSON]:
    found = record.options.get("tunes")
    return found if isinstance(found, (list, tuple)) else ()
