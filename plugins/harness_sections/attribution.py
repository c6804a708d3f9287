"""Which latents carry a change of behaviour: how it splits, who carries it, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import JSON, Figure, Grid, Panel, Prose, Record, Results
from harness.results import (
    format_estimate,
    format_number,
    grouped,
    named,
    null_value,
    undefined_reasons,
)
from harness_sections.charts.curves import curves, is_number
from harness_sections.charts.points import Line, Point, point_of
from harness_sections.plain import PlainSection

_HOW = (
    "A number of both models' predictions is followed from one model's activations to the other's. "
    "What the activations carry (up) and what the layers above do by themselves (down) add up to "
    "the change exactly. What they carry is split among the SAE's latents by gradients; what no "
    "latent says is the error, other tokens are the rest, and the gap is what the gradients miss. "
    "If up is small, no latent of this site explains the change. Gradients say where to look; "
    "whether a latent causes it is for an experiment to say."
)
_PARTS = {
    "change": "change",
    "up": "up: activations",
    "down": "down: layers above",
    "latents": "latents",
    "error": "error",
    "rest": "rest",
    "gap": "gap (of up, without signs)",
    "rank_agreement": "ranks agree with Σ|Δz|",
}
_NAME = "latent_attribution."
_PLACE = ("statistic", "pair", "site", "sae", "order", "scalar", "domain")
_MOST, _FEATURES = 40, 20
_COLUMNS = {"attribution", "rank_by_change", "positive", "feature"}
_MADE_BY = "attributed_"


class Attribution(PlainSection):
    """The split of each attribution, its first latents beside chance, and edits dose by dose."""

    def panel(self, results: Results) -> Panel | None:
        """The panel, or None where nothing was attributed."""
        blocks: list[Prose | Grid | Figure] = [
            *_splits(results.records),
            *_tops(results.records),
            *_features(results.tables),
            *_doses(results),
        ]
        if not blocks:
            return None
        return Panel("What carries the change", [Prose(_HOW), *blocks], order=6)


def _splits(records: Sequence[Record]) -> Iterator[Grid]:
    mine = named(records, *(_NAME + part for part in _PARTS))
    cells: list[list[JSON]] = []
    for place, found in list(grouped(mine, lambda record: _place(record.axes)).items())[:_MOST]:
        by_part = {record.id.partition("@")[0].removeprefix(_NAME): record for record in found}
        shown = [format_estimate(by_part[part]) if part in by_part else "" for part in _PARTS]
        cells.append([place, found[0].n, *shown])
    if not cells:
        return
    reasons = [f"Undefined: {reason}." for reason in undefined_reasons(mine)]
    note = " ".join(["Means over prompts, in nats. 95% intervals in brackets.", *reasons])
    heads = ["where", "prompts", *_PARTS.values()]
    yield Grid("How the change splits", heads, cells, note)


def _tops(records: Sequence[Record]) -> Iterator[Figure]:
    """How much of up the first k latents carry, beside directions that were dealt out anew."""
    mine = [
        record
        for record in named(records, f"{_NAME}top")
        if record.value is not None and is_number(record.axes.get("k"))
    ]
    lines = []
    for place, found in grouped(mine, lambda record: _place(record.axes)).items():
        lines.append(Line(place, tuple(point_of(one.axes["k"], one) for one in found)))
        chance = [(one.axes["k"], null_value(one, "value")) for one in found]
        points = tuple(Point(k, value) for k, value in chance if value is not None)
        lines.append(Line(f"{place}, dealt out anew", points, faint=True))
    if lines:
        yield curves(
            "How much of it the first latents carry",
            "The attributions of the first k latents together, over up. Below 1 the others, the "
            "error and the rest carry what is missing; above 1 others push back.",
            lines,
            ("k", "share of up"),
            log=True,
            series="where",
        )


def _features(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Grid]:
    for rows in tables.values():
        if not rows or not rows[0].keys() >= _COLUMNS:
            continue
        for place, found in list(grouped(rows, _place).items())[:_MOST]:
            cells: list[list[JSON]] = [
                [
                    row["rank"],
                    row["feature"],
                    _interval(row),
                    f"{format_number(row['left'])} / {format_number(row['right'])}",
                    format_number(row["positive"]),
                    row["rank_by_change"],
                ]
                for row in found[:_FEATURES]
            ]
            heads = ["rank", "feature", "attribution", "left / right layers above",
                     "prompts with A > 0", "rank by Σ|Δz|"]  # fmt: skip
            note = "Nats, means over prompts; 95% intervals by prompt. All are in tables/."
            yield Grid(f"Latents that carry it: {place}", heads, cells, note, folded=True)


def _doses(results: Results) -> Iterator[Grid]:
    """For each direction made by attribution, dose by dose: scores, and KL where there is one."""
    written = results.task.get("directions", {})
    made = [
        name
        for name, table in written.items()
        if str(table.get("method", "")).rpartition("/")[2].startswith(_MADE_BY)
    ]
    scores = [
        record
        for record in named(results.records, "refusal_score", "degenerate_share")
        if record.axes.get("direction") in made
    ]
    if not scores:
        return
    heads = list(
        dict.fromkeys(
            (str(record.axes.get("experiment")), record.id.partition("@")[0]) for record in scores
        )
    )
    damage = _damage(results, made)
    cells: list[list[JSON]] = []
    by_dose = grouped(scores, lambda record: (record.axes["direction"], record.axes.get("k")))
    for (direction, k), found in by_dose.items():
        by_head = grouped(found, lambda r: (str(r.axes.get("experiment")), r.id.partition("@")[0]))
        shown = [_over_draws(by_head.get(head, [])) for head in heads]
        cells.append([str(direction), k, *shown, _over_draws(damage.get((direction, k), []))])
    columns = ["direction", "k", *(f"{name}: {what}" for name, what in heads), "KL, nats/token"]
    note = (
        "The same edit at each dose. KL: how far the edited model's next-token distributions are "
        "from its own on the text of a pair, where the task measures that. Of several draws the "
        "mean, with the smallest and the largest."
    )
    yield Grid("Dose by dose, with the damage beside it", columns, cells, note)


def _damage(results: Results, made: Sequence[str]) -> dict[tuple[Any, Any], list[Record]]:
    """KL records by the direction and the step with which their pair's right view is edited."""
    views, pairs = results.task.get("views", {}), results.task.get("pairs", {})
    found: dict[tuple[Any, Any], list[Record]] = {}
    for record in named(results.records, "kl.next_token"):
        view = pairs.get(record.axes.get("pair"), {}).get("right")
        edit = (views.get(view) or {}).get("edit") or {}
        if edit.get("direction") in made:
            key = (edit["direction"], (edit.get("at") or {}).get("k"))
            found.setdefault(key, []).append(record)
    return found


def _over_draws(records: Sequence[Record]) -> str:
    """The number, or the mean of several draws with their range."""
    if len(records) == 1:
        return format_estimate(records[0])
    values = [record.value for record in records if record.value is not None]
    if not values:
        return ""
    mean, ends = sum(values) / len(values), (min(values), max(values))
    return f"{format_number(mean)} ({' to '.join(map(format_number, ends))})"


def _interval(row: Mapping[str, Any]) -> str:
    text = format_number(row["attribution"])
    if row["low"] is None:
        return text
    return f"{text} [{format_number(row['low'])}, {format_number(row['high'])}]"


def _place(axes: Mapping[str, Any]) -> str:
    return ", ".join(str(axes[name]) for name in _PLACE if axes.get(name) is not None)
