"""Feature Drift over several models: FVU in three settings (Figure 1), ER and IR (Figure 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.contract import JSON, Figure, Panel, Prose, Runs, SharedNumber
from harness.results import grouped, sites_by_depth, token_condition
from harness_sections.charts.curves import curves
from harness_sections.charts.dots import dots
from harness_sections.charts.points import Line
from harness_sections.layers.lines import ELSEWHERE
from harness_sections.layers.settings import SETTINGS, is_in
from harness_sections.several.spreads import (
    BARS,
    median_at,
    median_label,
    point_at,
    points,
    told_apart,
)

_RATIOS: Mapping[str, str] = {
    "explained_ratio.ratio_of_means": "ER",
    "intersection_ratio.per_token": "IR",
}
_MEANS: Mapping[str, str] = {
    "ER": (
        "Explained ratio: what the SAE fails to explain of the tuned model, over how far the two "
        "models are apart; below 1, the SAE explains more than the base model's activation does. "
        "Feature Drift, Figure 3, left."
    ),
    "IR": (
        "Intersection ratio: features active in both models, of those active in either. Feature "
        "Drift, Figure 3, right."
    ),
}
_MOST = 12
"""Figures that are shown."""


def over_runs(runs: Runs) -> Panel | None:
    """The figures, or None where no run has these numbers."""
    figures = [*_transfer(runs), *_ratios(runs)]
    if not figures:
        return None
    more = len(figures) - _MOST
    left_out = [Prose(f"{more} further figures are not drawn.")] if more > 0 else []
    return Panel("Drift over the runs", [*figures[:_MOST], *left_out], order=14)


def _transfer(runs: Runs) -> Iterator[Figure]:
    """A figure for each SAE: what it leaves unexplained in the settings of the analysis."""
    measured = [
        number for number in runs.numbers
        if number.name == "fvu.pooled" and "view" in number.axes and "sae" in number.axes
        and not ELSEWHERE & number.axes.keys()
    ]  # fmt: skip
    compared = [n for n in runs.numbers if n.name == "fvu.degradation" and "sae" in n.axes]
    for analysis, mine in grouped(compared, lambda n: n.axes.get("analysis")).items():
        settings = {short: mine[0].options.get(key) for key, short in SETTINGS.items()}
        for sae in _by_depth(mine):
            lines = []
            for short, setting in settings.items():
                found = [
                    number for number in measured
                    if number.axes["sae"] == sae and isinstance(setting, Mapping)
                    and is_in(number.axes, setting)
                ]  # fmt: skip
                if found:
                    lines.append(Line(short, tuple(points(runs, found[0]))))
            if (best := _ceiling(mine, measured, sae)) is not None:
                lines.append(Line(f"ceiling: SAE {best.axes['sae']}", tuple(points(runs, best))))
            if lines:
                yield dots(
                    f"FVU of SAE {sae} in three settings: {analysis}",
                    "The fraction of variance that the base model's SAE leaves unexplained, by "
                    f"run: 0 is perfect. Feature Drift, Figure 1. {BARS}",
                    lines,
                    (told_apart(runs), "FVU"),
                )


def _ceiling(
    compared: Sequence[SharedNumber], measured: Sequence[SharedNumber], sae: JSON
) -> SharedNumber | None:
    """The SAE of the other model at the same place, where the analysis compared with it."""
    name, setting = (compared[0].options.get(key) for key in ("ceiling", "other_model"))
    at_this = [n for n in compared if (n.axes.get("step"), n.axes["sae"]) == ("ceiling", sae)]
    if not at_this or not isinstance(setting, Mapping):
        return None
    found = [n for n in measured if n.axes["sae"] == name and is_in(n.axes, setting)]
    return found[0] if found else None


def _ratios(runs: Runs) -> Iterator[Figure]:
    """A figure for ER and one for IR: by SAE, a line for each variant and their median."""
    for name, short in _RATIOS.items():
        mine = [
            number for number in runs.numbers
            if number.name == name and "sae" in number.axes
            and not ELSEWHERE & number.axes.keys()
        ]  # fmt: skip
        for label, found in grouped(mine, _way).items():
            ordered = [number for sae in _by_depth(found) for number in found
                       if number.axes["sae"] == sae]  # fmt: skip
            lines = [
                Line(variant.label, tuple(
                    point_at(str(number.axes["sae"]), number.spreads[place])
                    for number in ordered if number.spreads[place].records
                ))
                for place, variant in enumerate(runs.variants)
            ]  # fmt: skip
            lines = [line for line in lines if line.points]
            middle = [median_at(str(n.axes["sae"]), n) for n in ordered if n.n > 1]
            if middle:
                lines.append(Line(_medians(ordered), tuple(middle), faint=True))
            if lines:
                title = f"{short} by SAE{label and f': {label}'}"
                axes = ("SAE, by depth", short)
                yield curves(title, f"{_MEANS[short]} {BARS}", lines, axes, series="run")


def _way(number: SharedNumber) -> str:
    """The pair, its data and the tokens that count."""
    at = [str(number.axes[key]) for key in ("pair", "data") if key in number.axes]
    first = next(record for one in number.spreads for record in one.records)
    return ", ".join([*dict.fromkeys(at), *filter(None, [token_condition(first)])])


def _medians(numbers: Sequence[SharedNumber]) -> str:
    labels = {median_label(number) for number in numbers if number.n > 1}
    return labels.pop() if len(labels) == 1 else "median"


def _by_depth(numbers: Sequence[SharedNumber]) -> list[JSON]:
    """The names of the SAEs, by the depth of the first run that has them."""
    sites: dict[JSON, JSON] = {}
    for number in numbers:
        for one in number.spreads:
            for record in one.records:
                sites.setdefault(number.axes["sae"], record.axes.get("site"))
    order = sites_by_depth(list(sites.values()))
    return sorted(sites, key=lambda sae: order.index(sites[sae]))
