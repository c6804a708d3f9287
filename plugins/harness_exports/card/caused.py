"""The card's section about interventions: does what changed cause what the model does?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.contract import Record, Results
from harness.results import (
    DRAW,
    experiment_scores,
    format_draws,
    format_number,
    grouped,
    measured_on,
    score_name,
)
from harness_exports.arms.arms import Arm
from harness_exports.card.changed import count, estimate
from harness_exports.card.markdown import name, table, text

_PARTS = frozenset({"domain", "cluster"})
"""Axes of a score about a part of the data."""


def caused(results: Results, arms: Sequence[Arm]) -> Iterator[str]:
    """The scores of each experiment: as it is, and, apart from that, under interventions."""
    if not arms:
        return
    yield "## Does it cause the behaviour?"
    yield ""
    for experiment, mine in grouped(arms, lambda arm: arm.experiment).items():
        by_score = _scores(mine)
        measured = [record for records in by_score.values() for record in records]
        on = f": {text(measured_on(measured))}" if measured else ""
        yield f"### {name(experiment)}{on}"
        yield from _as_it_is([arm for arm in mine if not arm.edits], by_score)
        yield from _edited([arm for arm in mine if arm.edits], by_score)


def _scores(arms: Sequence[Arm]) -> dict[str, list[Record]]:
    """The scores of an experiment over all its data, by what they are called."""
    over_all = [r for arm in arms for r in arm.records if not _PARTS & r.axes.keys()]
    found = experiment_scores(over_all)
    return {score_name(key, list(found)): mine for key, mine in found.items()}


def _of(arm: Arm, records: Sequence[Record]) -> Record | None:
    return next((record for record in arm.records if record in records), None)


def _as_it_is(arms: Sequence[Arm], by_score: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    rows = [
        (name(score), estimate(record), count(record))
        for arm in arms
        for score, records in by_score.items()
        if (record := _of(arm, records)) is not None
    ]
    if rows:
        yield ""
        yield "The model as it is:"
        yield from table(("score", "value", "n"), rows)


def _edited(arms: Sequence[Arm], by_score: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    if not arms:
        return
    methods = ", ".join(dict.fromkeys(_method(arm) for arm in arms))
    yield ""
    yield (
        f"**Under interventions ({text(methods)}).** These are scores of an edited model, and none "
        "of the model. Of several draws: the mean, and in round brackets the range. A receipt says "
        "what an edit really did, of draws the largest: *relative* is the length of the change "
        "over that of the activation."
    )
    drawn = grouped(arms, lambda arm: str([(k, v) for k, v in arm.axes.items() if k != DRAW]))
    yield from table(
        ("direction", *map(name, by_score), "receipt of the edit"),
        [_row(same, by_score) for same in drawn.values()],
    )


def _method(arm: Arm) -> str:
    return " + ".join(
        " ".join([edit.method, *(f"{key}={value}" for key, value in edit.options.items())])
        for edit in arm.edits
    )


def _row(arms: Sequence[Arm], by_score: Mapping[str, Sequence[Record]]) -> tuple[str, ...]:
    rest = [
        f"{key}={value}" for key, value in arms[0].axes.items() if key not in ("direction", DRAW)
    ]
    label = " ".join([str(arms[0].axes.get("direction")), *rest])
    if len(arms) > 1:
        label += f", {len(arms)} draws"
    cells = []
    for records in by_score.values():
        mine = [record for arm in arms if (record := _of(arm, records)) is not None]
        if len(mine) == 1:
            n = "" if mine[0].value is None else f", n = {mine[0].n:,}"
            cells.append(f"{estimate(mine[0])}{n}")
        else:
            cells.append(text(format_draws(mine)) if mine else "not measured")
    return text(label), *cells, _receipt(arms)


def _receipt(arms: Sequence[Arm]) -> str:
    """What the edits really did, the largest over draws, and which vectors they used."""
    found: dict[str, float] = {}
    for arm in arms:
        for edit in arm.edits:
            for key, value in edit.receipt.items():
                if isinstance(value, (int, float)):
                    found[key] = max(found.get(key, value), value)
    parts = [f"{key} {format_number(value)}" for key, value in found.items()]
    hashes = [edit.sha256[:12] for arm in arms for edit in arm.edits if edit.sha256]
    if len(hashes) == 1:
        parts.append(f"vectors {hashes[0]}")
    return text("; ".join(parts) or "none")
