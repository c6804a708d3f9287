"""The tables at the top of the report: every row of one is measured like the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.contract import JSON, Grid, Record, Results
from harness.results.arms import common_step
from harness.results.by_site import records_by_pair, sorted_by_depth, token_condition
from harness.results.experiments import (
    DETAILS as DETAILS,
    UNEDITED,
    experiment_scores,
    measured_on,
    records_by_experiment,
    score_name,
    written,
)
from harness.results.numbers import format_draws, format_estimate, format_number
from harness.results.records import by_axis, grouped, named, null_value, record_name
from harness.results.series import Series, axis_value, group_series, sweep_axis

_NOTE = "95% intervals in brackets. Of draws, the mean and in round brackets the range."
_ELSEWHERE = {"domain", "cluster", "experiment", "analysis", "direction"}
"""Axes of what belongs to a part of the data, or is no measurement of a pair."""
_PAIR_ROWS: Mapping[str, str] = {
    "cosine.raw": "cosine of activations",
    "latent_overlap.topk": "overlap of latents",
    "filtered_share": "tokens counted",
    "intersection_ratio.per_token": "IR",
    "intersection_ratio.chance": "IR by chance",
    "explained_ratio.ratio_of_means": "ER",
    "fvu.pooled": "FVU",
    "difference.relative": "size of the difference",
}
"""The numbers of a pair that its table has, and what they are called there."""


def headline_tables(results: Results) -> list[Grid]:
    """The tables, the most telling kind first.

    Forecasts with what happened; or flips by pair; or a table for each experiment, with a row for
    each direction, whose last columns say how its completions are written; then the main numbers of
    each pair by site. Rankings are all at the same step of their sweep. A table whose numbers are
    all the same is left out: see `constant_scores`.
    """
    found = [*_forecast(results), *_flips(results), *_experiments(results)]
    if not found:
        found = list(_pairs(results))
    return [*found[:-1], replace(found[-1], note=_note(found[-1]))] if found else []


def headline_units(results: Results) -> dict[str, str]:
    """The unit of the numbers of a column or a row of these tables, by what heads it, such as
    `refusal_score` or `IR *`. What has several units, or none, is not there."""
    found: dict[str, set[str]] = {}
    columns = [by_score for _, by_score in _scores(results)]
    columns += [dict(_beside(results, name)) for name in records_by_experiment(results)]
    for by_name in columns:
        for name, mine in by_name.items():
            found.setdefault(name, set()).update(record.unit for record in mine)
    for record in named(results.records, *_PAIR_ROWS):
        for one in (None, token_condition(record)):
            found.setdefault(_row_name(record, one), set()).add(record.unit)
    return {name: unit for name, units in found.items() for unit in units if len(units) == 1}


def constant_scores(results: Results) -> list[str]:
    """A sentence for each experiment in which no arm differs from another in any score."""
    return [
        f"{name}: {_all_the_same(by_score)} in all {_count(by_score)} arms "
        f"({measured_on(_every(by_score))})."
        for name, by_score in _scores(results)
        if _is_constant(by_score) and _count(by_score) > 1
    ]


def _note(grid: Grid) -> str:
    return f"{grid.note} {_NOTE}".strip()


# ── Experiments ──────────────────────────────────────────────────────────────────────────────────

_BESIDE = ("tokens", "distinct-4")
_ByScore = dict[str, list[Record]]
"""The records of one experiment over all data, by the name of their score."""


def _scores(results: Results) -> Iterator[tuple[str, _ByScore]]:
    for experiment, records in records_by_experiment(results).items():
        scores = experiment_scores(records)
        names = {score_name(key, list(scores)): mine for key, mine in scores.items()}
        over_all = {
            name: kept
            for name, mine in names.items()
            if (kept := [r for r in mine if not {"domain", "cluster"} & r.axes.keys()] or mine)
        }
        if over_all:
            yield experiment, over_all


def _experiments(results: Results) -> Iterator[Grid]:
    """A table for each experiment; those that only ask models as they are share one, by columns."""
    found = list(_each(results))
    alone = grouped(found, lambda one: one.grid.columns if one.unedited else (one.experiment,))
    for some in alone.values():
        if len(some) == 1:
            yield some[0].grid
            continue
        columns = ("experiment", *some[0].grid.columns[1:])
        alike = {one.of for one in some}
        title = f"Models as they are{alike.pop()}" if len(alike) == 1 else "Models as they are"
        labels = [f"{one.experiment}{one.of if alike else ''}" for one in some]
        rows = [[label, *one.grid.rows[0][1:]] for label, one in zip(labels, some, strict=True)]
        yield replace(some[0].grid, title=title, columns=columns, rows=rows)


@dataclass(frozen=True)
class _Experiment:
    """The table of one experiment."""

    experiment: str
    where: str
    grid: Grid

    @property
    def of(self) -> str:
        """What was asked, and how much: the place without the view."""
        mark = " on " if " on " in self.where else ", n = "
        return self.where[self.where.find(mark) :] if mark in self.where else ""

    @property
    def unedited(self) -> bool:
        """Whether its only row is that of the model as it is."""
        return [row[0] for row in self.grid.rows] == [f"{UNEDITED} (not edited)"]


def _each(results: Results) -> Iterator[_Experiment]:
    for experiment, by_score in _scores(results):
        if _is_constant(by_score) and _count(by_score) > 1:
            continue
        axis = sweep_axis(_every(by_score))
        step = _step(by_score, axis, results)
        cells: dict[str, dict[str, str]] = {}
        for name, mine in by_score.items():
            for one in group_series(mine, axis):
                for label, text in _at_step(one, axis, step):
                    cells.setdefault(label, {})[name] = text
        beside = list(_beside(results, experiment))
        for name, mine in beside:
            for one in group_series(mine, axis):
                for label, text in _at_step(one, axis, step, _briefly):
                    if label in cells:
                        cells[label][name] = text
        columns = [*by_score, *(name for name, _ in beside)]
        rows: list[list[JSON]] = [
            [label, *(found.get(name, "") for name in columns)] for label, found in cells.items()
        ]
        where = measured_on(_every(by_score))
        columns = ["direction", *columns]
        grid = Grid(f"Experiment {experiment}: {where}", tuple(columns), rows, spare=len(beside))
        yield _Experiment(experiment, where, grid)


def _beside(results: Results, experiment: str) -> Iterator[tuple[str, list[Record]]]:
    """Length and repetition of the completions: a score of what only babbles means little."""
    told = written(records_by_experiment(results)[experiment])
    yield from ((name, told[name]) for name in _BESIDE if name in told)


def _briefly(records: Sequence[Record]) -> str:
    """The mean of the arms, without an interval."""
    known = [record.value for record in records if record.value is not None]
    return format_number(sum(known) / len(known) if known else None)


def _estimate(records: Sequence[Record]) -> str:
    return format_estimate(records[0]) if len(records) == 1 else format_draws(records)


def _step(by_score: _ByScore, axis: str | None, results: Results) -> float | None:
    """The step that all swept directions of the experiment are shown at."""
    first = next(iter(by_score.values()))
    series = [one for one in group_series(first, axis) if one.shape == "sweep"]
    drawn = [one for one in group_series(first, axis) if one.shape == "draws"]
    return common_step(axis, series, drawn, results.task)


def _at_step(
    series: Series,
    axis: str | None,
    step: float | None,
    told: Callable[[Sequence[Record]], str] = _estimate,
) -> Iterator[tuple[str, str]]:
    """The rows and cells of a series: at the common step, or at its last one without that.

    What has no step among what is swept, all components together, has a row of its own.
    """
    if series.shape != "sweep":
        yield _row(series.label, series.records, told)
        return
    if whole := [record for record in series.records if axis_value(record, axis) is None]:
        yield _row(series.label, whole, told)
    at = step if step is not None else axis_value(series.records[-1], axis)
    if there := [record for record in series.records if axis_value(record, axis) == at]:
        yield _row(f"{series.label}, {axis} = {at:g}", there, told)


def _row(
    label: str, records: Sequence[Record], told: Callable[[Sequence[Record]], str]
) -> tuple[str, str]:
    if len(records) > 1:
        label += f", {len(records)} draws"
    elif label == UNEDITED:
        label += " (not edited)"
    return label, told(records)


def _is_constant(by_score: _ByScore) -> bool:
    """Whether each score has one value in all arms."""
    return all(len({record.value for record in mine}) == 1 for mine in by_score.values())


def _all_the_same(by_score: _ByScore) -> str:
    parts = [f"{name} is {format_number(mine[0].value)}" for name, mine in by_score.items()]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _every(by_score: _ByScore) -> list[Record]:
    return [record for mine in by_score.values() for record in mine]


def _count(by_score: _ByScore) -> int:
    return max(map(len, by_score.values()))


# ── Pairs by site ────────────────────────────────────────────────────────────────────────────────


def _pairs(results: Results) -> Iterator[Grid]:
    chosen = [r for r in named(results.records, *_PAIR_ROWS) if not _ELSEWHERE & r.axes.keys()]
    for (pair, data), mine in records_by_pair(chosen).items():
        sites = list(dict.fromkeys(str(r.axes["site"]) for r in sorted_by_depth(mine)))
        conditions = list(dict.fromkeys(filter(None, map(token_condition, mine))))
        one = conditions[0] if len(conditions) == 1 else None
        cells: dict[str, dict[str, str]] = {}
        for id in _PAIR_ROWS:
            for record in named(mine, id):
                row = cells.setdefault(_row_name(record, one), {})
                row.setdefault(str(record.axes["site"]), format_estimate(record))
        rows: list[list[JSON]] = [
            [label, *(row.get(site, "") for site in sites)] for label, row in cells.items()
        ]
        title = f"Pair {pair}" + ("" if data in (None, pair) else f" on {data}")
        title += f" (*: tokens with {one})" if one else ""
        yield Grid(title, ("number", *sites), rows)


def _row_name(record: Record, one: str | None) -> str:
    """What was measured: `FVU of chat`, `IR *` where all conditions are the one of the title."""
    name = _PAIR_ROWS[record_name(record)]
    if (view := record.axes.get("view")) is not None:
        name += f" of {view}"
    where = token_condition(record)
    if where and where == one:
        return f"{name} *"
    return f"{name} where {where}" if where else name


# ── Flips by pair, and forecasts by domain ───────────────────────────────────────────────────────


def _flips(results: Results) -> Iterator[Grid]:
    """A row for each pair: where most latents flip, and what its main directions do."""
    mine = [
        r
        for r in named(results.records, "flip_rate.token", "flip_rate.over_random")
        if not _ELSEWHERE & r.axes.keys() and r.value is not None
    ]
    whole = [r for r in named(mine, "flip_rate.token") if r.axes.get("injection", "none") == "none"]
    ratios = named(mine, "flip_rate.over_random")
    rows: list[list[JSON]] = []
    tops = [max(found, key=_value) for found in by_axis(whole, "pair").values()]
    for top in sorted(tops, key=_value, reverse=True):
        pair = top.axes.get("pair")
        there = [r for r in ratios if _place(r) == _place(top)]
        best = max(there, key=lambda record: axis_value(record, "k") or 0.0, default=None)
        ratio = "" if best is None else format_estimate(best)
        rows.append([str(pair), str(top.axes.get("site")), format_estimate(top), ratio])
    if rows:
        columns = ("pair", "most at", "flips per token", "components over random")
        note = (
            "Components over random: flips under as many main directions of the change as were "
            "injected, over those under random vectors of their length."
        )
        yield Grid("Latents that flip, by pair", columns, rows, note)


def _value(record: Record) -> float:
    return record.value or 0.0


def _place(record: Record) -> tuple[JSON, ...]:
    return tuple(record.axes.get(axis) for axis in ("pair", "data", "site", "sae"))


def _forecast(results: Results) -> Iterator[Grid]:
    """A row for each domain of the first comparison: its forecasts, and what happened."""
    changes = [r for r in named(results.records, "accuracy.change") if "domain" in r.axes]
    by_analysis = grouped(changes, lambda record: record.axes.get("analysis"))
    for mine in list(by_analysis.values())[:1]:
        source = mine[0].options.get("sts")
        scores = [
            r
            for r in named(results.records, "sts.act", "sts.icl")
            if "domain" in r.axes and r.axes.get("analysis") == source
        ]
        names = list(dict.fromkeys(map(record_name, scores)))
        by_domain = by_axis(scores, "domain")
        rows: list[list[JSON]] = []
        for change in sorted(mine, key=lambda record: record.value or 0.0):
            of = {record_name(r): r for r in by_domain.get(change.axes["domain"], ())}
            cells = [format_estimate(of[name]) if name in of else "" for name in names]
            rows.append([str(change.axes["domain"]), *cells, format_estimate(change)])
        title = "Accuracy by domain: forecast and what happened"
        nulls = {null_value(r) for r in mine}
        note = "Change in percentage points; 0 if nothing changed." if nulls == {0.0} else ""
        yield Grid(title, ("domain", *names, "change"), rows, note)
