"""What the SAEs still explain: FVU on other text and in the other model, and ER and IR by depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import JSON, Figure, Grid, Panel, Record, Results
from harness.results.by_site import (
    PLACE_AXES,
    distinct_labels,
    records_by_pair,
    sites_by_depth,
    token_condition,
)
from harness.results.numbers import format_estimate
from harness_sections.charts.depth import Line, figure, place, same
from harness_sections.plain import Plain

_FVU = "fvu.pooled"
_SETTINGS: Mapping[str, str] = {
    "base": "own model, own text",
    "other_data": "other text",
    "other_model": "other model",
}
"""The settings of the analysis, seen from the SAE: B-LLM + B-Data, B-LLM + C-Data and C-LLM +
C-Data of Feature Drift, whose SAEs are the base model's."""
_STEPS: Mapping[str, str] = {
    "data": "other text",
    "model": "the other model",
    "both": "both",
    "ceiling": "against the ceiling",
}
_MOVED: Mapping[str, str] = {
    "explained_ratio.ratio_of_means": "ER",
    "explained_ratio.mean_of_ratios": "ER, mean of ratios",
    "explained_ratio.median": "ER, median",
    "intersection_ratio.per_token": "IR",
    "intersection_ratio.chance": "IR by chance",
}
_LEVELS = ("intersection_ratio.chance",)
_MOST = 12
_ELSEWHERE = {"analysis", "experiment", "direction", "domain"}


class SaeFigures:
    """FVU in each setting, and ER and IR of the tokens that a filter chose, against depth."""

    def __init__(self, options: Plain) -> None:
        self.options = options

    def panel(self, results: Results) -> Panel | None:
        """The figures, or None where no SAE is measured at two sites or more."""
        found = [*_fvu(results.records), *_moved(results.records)]
        # Figures side by side, then tables.
        blocks = sorted(found, key=lambda block: isinstance(block, Grid))[:_MOST]
        return Panel("What the SAEs still explain", blocks, order=14) if blocks else None


# ── FVU in the settings: Figure 1 of Feature Drift ───────────────────────────────────────────────


def _fvu(records: Sequence[Record]) -> Iterator[Figure | Grid]:
    measured = [
        r
        for r in records
        if _name(r) == _FVU and {"site", "view"} <= r.axes.keys() and not _ELSEWHERE & r.axes.keys()
    ]
    found = False
    for name, mine in _analyses(records).items():
        settings = _settings(mine[0])
        drawn = [
            Line(f"{_who(one)} ({called})", same([r for r in measured if _at(r, one)]))
            for called, one in settings.items()
        ]
        if _spans(drawn):
            found = True
            yield figure(f"FVU in three settings: {name}", _FVU_MEANS, drawn, "FVU")
            yield _costs(name, mine)
    if not found:
        by_view: dict[tuple[JSON, ...], list[Record]] = {}
        for record in measured:
            key = tuple(record.axes.get(axis) for axis in ("view", "data", "pair"))
            by_view.setdefault(key, []).append(record)
        once = Counter((view, data) for view, data, _ in by_view)
        drawn = [
            Line(f"{view} on {data}" + f" ({pair})" * (once[view, data] > 1), same(mine))
            for (view, data, pair), mine in by_view.items()
        ]
        if _spans(drawn):
            yield figure("FVU of each view", _FVU_MEANS, drawn, "FVU")


_FVU_MEANS = (
    "The fraction of variance that the SAE leaves unexplained: 0 is perfect, 1 no better than the "
    "mean. Feature Drift, Figure 1."
)


def _analyses(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records of each analysis that compared FVUs."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if _name(record).startswith("fvu.degradation") and "analysis" in record.axes:
            found.setdefault(str(record.axes["analysis"]), []).append(record)
    return found


def _settings(record: Record) -> dict[str, Mapping[str, Any]]:
    """What the analysis compared, from its options, which its records carry."""
    return {
        called: setting
        for name, called in _SETTINGS.items()
        if isinstance(setting := record.options.get(name), Mapping)
    }


def _at(record: Record, setting: Mapping[str, Any]) -> bool:
    extra = setting.get("axes")
    wanted = {key: setting.get(key) for key in ("view", "data", "pair")}
    wanted |= extra if isinstance(extra, Mapping) else {}
    return all(value is None or record.axes.get(key) == value for key, value in wanted.items())


def _who(setting: Mapping[str, Any]) -> str:
    return f"{setting.get('view')} on {setting.get('data')}"


def _costs(name: str, records: Sequence[Record]) -> Grid:
    """What each step costs at each site: in points of FVU, and of what was explained."""
    mine = [r for r in records if "domain" not in r.axes and "site" in r.axes]
    by_place: dict[tuple[JSON, JSON], dict[str, list[Record]]] = {}
    for record in mine:
        at = record.axes["site"], record.axes.get("sae")
        step = str(record.axes.get("step"))
        by_place.setdefault(at, {}).setdefault(step, []).append(record)
    order = sites_by_depth([site for site, _ in by_place])
    steps = [s for s in _STEPS if any(s in found for found in by_place.values())]
    rows: list[list[JSON]] = [
        [str(site), "" if sae is None else str(sae), *(_cost(found.get(s, ())) for s in steps)]
        for (site, sae), found in sorted(by_place.items(), key=lambda item: order.index(item[0][0]))
    ]
    note = (
        "Rise of FVU with its 95% interval; after the semicolon, the share that was lost of what "
        "the SAE explained before. 0 if nothing differed."
    )
    columns = ["site", "SAE", *(_STEPS[step] for step in steps)]
    return Grid(f"What FVU loses ({name})", columns, rows, note)


def _cost(records: Sequence[Record]) -> str:
    points = [r for r in records if not _name(r).endswith("relative")]
    relative = [r for r in records if _name(r).endswith("relative") and r.value is not None]
    text = "; ".join(map(format_estimate, points))
    return f"{text}; {100 * (relative[0].value or 0):.1f}%" if relative else text


# ── ER and IR at the tokens that moved: Figure 3 ─────────────────────────────────────────────────


def _moved(records: Sequence[Record]) -> Iterator[Figure]:
    chosen = [
        r for r in records
        if _name(r) in _MOVED and token_condition(r) and not _ELSEWHERE & r.axes.keys()
    ]  # fmt: skip
    for (pair, data), mine in records_by_pair(chosen).items():
        for where in dict.fromkeys(map(token_condition, mine)):
            under = [record for record in mine if token_condition(record) == where]
            drawn = list(_lines(under))
            if not _spans(drawn):
                continue
            share = _counted(records, under[0], where)
            yield figure(
                f"ER and IR at tokens with {_said(under[0])}: {place(pair, data)}",
                "ER: what the SAE fails to explain of the tuned model, over how far the two models "
                "are apart; lower is better. IR: features active in both, of those in either. "
                f"Feature Drift, Figure 3. {share}",
                drawn,
            )


def _lines(records: Sequence[Record]) -> Iterator[Line]:
    found: dict[tuple[str, str], list[Record]] = {}
    for label, record in zip(distinct_labels(records), records, strict=True):
        found.setdefault((_name(record), label), []).append(record)
    for name, called in _MOVED.items():
        mine = [(label, these) for (known, label), these in found.items() if known == name]
        for label, these in mine:
            more = label.removeprefix(name).replace(token_condition(these[0]), "").strip()
            yield Line(f"{called} {more}".strip(), same(these), name in _LEVELS)


def _counted(records: Sequence[Record], like: Record, where: str) -> str:
    """The share of tokens that count, by site."""
    shares = [
        r
        for r in records
        if _name(r) == "filtered_share"
        and token_condition(r) == where
        and all(r.axes.get(key) == like.axes.get(key) for key in PLACE_AXES[:2])
        and "domain" not in r.axes
        and r.value is not None
    ]
    told = ", ".join(f"{100 * (r.value or 0):.0f}% at {r.axes.get('site')}" for r in shares)
    return f"Tokens that count: {told}." if told else ""


def _said(record: Record) -> str:
    below, above = (record.options.get(f"cosine_{side}") for side in ("below", "above"))
    parts = [f"cosine under {below}"] if below is not None else []
    return " and ".join([*parts, *([f"cosine from {above}"] if above is not None else [])])


def _spans(lines: Sequence[Line]) -> bool:
    return len({r.axes["site"] for line in lines for r in line.records}) > 1


def _name(record: Record) -> str:
    return record.id.partition("@")[0]
