"""Transferability over several models: STS against what was measured, and how they correlate.

Figure 3 of SAE Transferability Score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import JSON, Figure, Panel, Prose, Runs, SharedNumber
from harness.results import format_number, grouped
from harness_sections.charts.dots import dots
from harness_sections.charts.points import Line
from harness_sections.charts.styles import distinct_styles
from harness_sections.several.spreads import BARS, points, told_apart

_SCORES = ("sts.act", "sts.icl")
_CORRELATION = "sts.correlation.pearson"
_CHANGE = "accuracy.change"
_MOST = 12
"""Figures that are shown."""


def over_runs(runs: Runs) -> Panel | None:
    """The figures, or None where no run has an STS."""
    figures = [*_correlations(runs), *_scatters(runs)]
    if not figures:
        return None
    more = len(figures) - _MOST
    left_out = [Prose(f"{more} further figures are not drawn.")] if more > 0 else []
    return Panel("Transfer over the runs", [*figures[:_MOST], *left_out], order=8)


def _correlations(runs: Runs) -> Iterator[Figure]:
    """For each comparison: Pearson's r of each forecast, by run, over all domains."""
    mine = [
        number for number in runs.numbers
        if number.name == _CORRELATION and number.axes.get("domains") == "all"
        and number.axes.get("forecast") in _SCORES
    ]  # fmt: skip
    for label, found in grouped(mine, lambda n: _label(n.axes)).items():
        lines = [Line(str(n.axes["forecast"]), tuple(points(runs, n))) for n in found]
        yield dots(
            f"Pearson's r of STS with the change: {label}",
            "How well the score of each domain goes with the size of what fine-tuning did to its "
            f"accuracy, over all domains. SAE Transferability Score, Figure 3. {BARS}",
            [line for line in lines if line.points],
            (told_apart(runs), "Pearson's r"),
            span=(-1.05, 1.05),
        )


def _scatters(runs: Runs) -> Iterator[Figure]:
    """For each comparison and forecast: a point for each domain, a series for each variant."""
    changes = [n for n in runs.numbers if n.name == _CHANGE and "domain" in n.axes]
    for analysis, mine in grouped(changes, lambda n: n.axes.get("analysis")).items():
        forecasts = str(mine[0].options.get("sts"))
        by_domain = {_domain(number): number for number in mine}
        for id in _SCORES:
            scores = [
                number for number in runs.numbers
                if number.name == id and "domain" in number.axes
                and number.axes.get("analysis") == forecasts
            ]  # fmt: skip
            for label, found in grouped(scores, lambda n: _label(n.axes, ("domain",))).items():
                pairs = [(n, by_domain[_domain(n)]) for n in found if _domain(n) in by_domain]
                figure = _scatter(runs, id, f"{id} against the change: {analysis}, {label}", pairs)
                if figure is not None:
                    yield figure


def _scatter(
    runs: Runs, id: str, title: str, pairs: Sequence[tuple[SharedNumber, SharedNumber]]
) -> Figure | None:
    styles = distinct_styles(variant.label for variant in runs.variants)
    data: list[dict[str, Any]] = []
    rows: list[dict[str, JSON]] = []
    words, records = [], []
    for place, variant in enumerate(runs.variants):
        drawn = []
        for score, change in pairs:
            x, y = score.spreads[place], change.spreads[place]
            if not x.records and not y.records:
                continue
            size = None if y.mean is None else abs(y.mean)
            rows.append({
                told_apart(runs): variant.label, "domain": str(score.axes["domain"]), id: x.mean,
                "sd": x.sd, "|change|, points": size, "sd of the change": y.sd,
                "seeds": min(x.n, y.n), "undefined": x.undefined + y.undefined,
            })  # fmt: skip
            if x.mean is not None and size is not None:
                drawn.append((str(score.axes["domain"]), x.mean, size))
                records += [*x.records, *y.records]
        if drawn:
            style = styles[variant.label]
            data.append({
                "type": "scatter", "mode": "markers", "name": variant.label,
                "x": [x for _, x, _ in drawn], "y": [y for _, _, y in drawn],
                "text": [f"{domain}: {format_number(x)}, {format_number(y)}"
                         for domain, x, y in drawn],
                "hoverinfo": "text+name",
                "marker": {"color": style.colour, "symbol": style.marker, "size": 9},
            })  # fmt: skip
            words.append(f"{variant.label}: {len(drawn)} domains")
    if not data:
        return None
    layout = {
        "xaxis": {"title": {"text": id}},
        "yaxis": {"title": {"text": "|change|, percentage points"}, "rangemode": "tozero"},
        "showlegend": len(data) > 1,
        "height": 380 + 20 * len(data),
    }
    meaning = (
        "A point for each domain of each run: its STS, and the size of what fine-tuning did to its "
        f"accuracy; of several seeds, the means. SAE Transferability Score, Figure 3. "
        f"{'; '.join(words)}."
    )
    return Figure(title, meaning, data, layout, rows, records)


def _label(axes: Mapping[str, JSON], without: Sequence[str] = ()) -> str:
    """The analysis, with what else tells its numbers apart."""
    known = ("analysis", "forecast", "domains", *without)
    more = [f"{key}={value}" for key, value in axes.items() if key not in known]
    return ", ".join([str(axes.get("analysis")), *more])


def _domain(number: SharedNumber) -> str:
    """A domain's name as analyses compare it: `computer science` is `computer_science`."""
    return "_".join(str(number.axes.get("domain")).strip().lower().split())
