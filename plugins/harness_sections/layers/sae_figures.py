"""What the SAEs still explain: FVU on other text and in the other model, and ER and IR by depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from harness.contract import JSON, Figure, Grid, Panel, Record, Results, Runs
from harness.results import (
    PLACE_AXES,
    by_axis,
    format_estimate,
    grouped,
    named,
    record_name,
    records_by_pair,
    sorted_by_depth,
    token_condition,
)
from harness_sections.charts.depth import (
    DepthLine,
    depth_figure,
    once_per_site,
    pair_title,
    spans_sites,
)
from harness_sections.layers.lines import ELSEWHERE, number_lines
from harness_sections.layers.over_runs import over_runs
from harness_sections.layers.settings import SETTINGS, is_in
from harness_sections.plain import PlainSection
from harness_sections.variants import by_name_on

_FVU = "fvu.pooled"
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
_MOST = 12
"""Blocks that are shown."""


class SaeFigures(PlainSection):
    """FVU in each setting, and ER and IR of the tokens that a filter chose, against depth."""

    def panel(self, results: Results) -> Panel | None:
        """The figures, or None where no SAE is measured at two sites or more."""
        found = [*_fvu(results.records), *_moved(results.records)]
        # Figures side by side, then tables.
        blocks = sorted(found, key=lambda block: isinstance(block, Grid))[:_MOST]
        return Panel("What the SAEs still explain", blocks, order=14) if blocks else None

    def panel_of_runs(self, runs: Runs) -> Panel | None:
        """FVU in each setting, and ER and IR, over several runs."""
        return over_runs(runs)


# ── FVU in the settings: Figure 1 of Feature Drift ───────────────────────────────────────────────


def _fvu(records: Sequence[Record]) -> Iterator[Figure | Grid]:
    measured = [
        r
        for r in named(records, _FVU)
        if {"site", "view"} <= r.axes.keys() and not ELSEWHERE & r.axes.keys()
    ]
    found = False
    degradations = [r for r in records if r.id.startswith("fvu.degradation")]
    for name, mine in by_name_on(degradations, "analysis").items():
        # What the analysis compared is in its options, which its records carry.
        settings = {short: mine[0].options.get(key) for key, short in SETTINGS.items()}
        drawn = [
            DepthLine(
                f"{one.get('view')} on {one.get('data')} ({short})",
                once_per_site([r for r in measured if is_in(r.axes, one)]),
            )
            for short, one in settings.items()
            if isinstance(one, Mapping)
        ]
        if spans_sites(drawn):
            found = True
            yield depth_figure(f"FVU in three settings: {name}", _FVU_MEANS, drawn, "FVU")
            yield _costs(name, mine)
    if not found:
        by_view = grouped(
            measured, lambda r: (r.axes.get("view"), r.axes.get("data"), r.axes.get("pair"))
        )
        once = Counter((view, data) for view, data, _ in by_view)
        drawn = [
            DepthLine(
                f"{view} on {data}" + f" ({pair})" * (once[view, data] > 1), once_per_site(mine)
            )
            for (view, data, pair), mine in by_view.items()
        ]
        if spans_sites(drawn):
            yield depth_figure("FVU of each view", _FVU_MEANS, drawn, "FVU")


_FVU_MEANS = (
    "The fraction of variance that the SAE leaves unexplained: 0 is perfect, 1 no better than the "
    "mean. Feature Drift, Figure 1."
)


def _costs(name: str, records: Sequence[Record]) -> Grid:
    """What each step costs at each site: in points of FVU, and of what was explained."""
    mine = [r for r in records if "domain" not in r.axes and "site" in r.axes]
    by_place = grouped(sorted_by_depth(mine), lambda r: (r.axes["site"], r.axes.get("sae")))
    steps = [step for step in _STEPS if step in by_axis(mine, "step")]
    rows: list[list[JSON]] = []
    for (site, sae), found in by_place.items():
        by_step = by_axis(found, "step")
        costs = [_cost(by_step.get(step, ())) for step in steps]
        rows.append([str(site), "" if sae is None else str(sae), *costs])
    note = (
        "Rise of FVU with its 95% interval; after the semicolon, the share that was lost of what "
        "the SAE explained before. 0 if nothing differed."
    )
    columns = ["site", "SAE", *(_STEPS[step] for step in steps)]
    return Grid(f"What FVU loses ({name})", columns, rows, note)


def _cost(records: Sequence[Record]) -> str:
    points = [r for r in records if not record_name(r).endswith("relative")]
    relative = [r for r in records if r not in points and r.value is not None]
    text = "; ".join(map(format_estimate, points))
    return f"{text}; {100 * (relative[0].value or 0):.1f}%" if relative else text


# ── ER and IR at the tokens that moved: Figure 3 ─────────────────────────────────────────────────


def _moved(records: Sequence[Record]) -> Iterator[Figure]:
    chosen = [
        r for r in named(records, *_MOVED) if token_condition(r) and not ELSEWHERE & r.axes.keys()
    ]
    for (pair, data), mine in records_by_pair(chosen).items():
        for where, under in grouped(mine, token_condition).items():
            drawn = number_lines(under, _MOVED, _line_label)
            if not spans_sites(drawn):
                continue
            share = _counted(records, under[0], where)
            yield depth_figure(
                f"ER and IR at tokens with {_in_words(under[0])}: {pair_title(pair, data)}",
                "ER: what the SAE fails to explain of the tuned model, over how far the two models "
                "are apart; lower is better. IR: features active in both, of those in either. "
                f"Feature Drift, Figure 3. {share}",
                drawn,
                "ER and IR (ratio)",
            )


def _line_label(short: str, label: str, record: Record) -> str:
    """The short name, with what tells this line from others under the same condition."""
    more = label.removeprefix(record_name(record)).replace(token_condition(record), "").strip()
    return f"{short} {more}".strip()


def _counted(records: Sequence[Record], like: Record, where: str) -> str:
    """The share of tokens that count, by site."""
    shares = [
        r
        for r in named(records, "filtered_share")
        if token_condition(r) == where
        and all(r.axes.get(key) == like.axes.get(key) for key in PLACE_AXES[:2])
        and "domain" not in r.axes
        and r.value is not None
    ]
    words = ", ".join(f"{100 * (r.value or 0):.0f}% at {r.axes.get('site')}" for r in shares)
    return f"Tokens that count: {words}." if words else ""


def _in_words(record: Record) -> str:
    """The condition on tokens: `cosine under 0.9`, `a cosine in the lowest 10%`."""
    told, words = record.options, []
    if (below := told.get("cosine_below")) is not None:
        words.append(f"cosine under {below}")
    if (least := told.get("cosine_above")) is not None:
        words.append(f"cosine from {least}")
    if isinstance(share := told.get("cosine_quantile"), float):
        words.append(f"a cosine in the lowest {100 * share:.4g}%")
    return " and ".join(words)
