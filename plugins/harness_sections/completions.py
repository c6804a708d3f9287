"""What the models wrote: the same prompts under every arm, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import JSON, Grid, Panel, Prose, Record, Results
from harness.results import (
    COMPLETIONS,
    answer_of,
    arm_axes,
    group_series,
    grouped,
    sweep_axis,
)
from harness_sections.plain import PlainSection
from harness_sections.variants import arm_label

_PROMPTS = 3
_TITLE = 300
"""Characters of a prompt that are shown."""
Row = Mapping[str, Any]


class Samples(PlainSection):
    """The first prompts of every experiment: not chosen by what came out."""

    def panel(self, results: Results) -> Panel | None:
        """A table for each prompt, or None where nothing was written."""
        rows = results.tables.get(COMPLETIONS, ())
        by_experiment = grouped(rows, lambda row: str(row["experiment"]))
        of_task = map(str, results.task.get("experiments") or ())
        grids = [
            grid
            for name in dict.fromkeys([*of_task, *by_experiment])
            for grid in _experiment(name, by_experiment.get(name, ()))
        ]
        if not grids:
            return None
        text = (
            f"The first {_PROMPTS} prompts of each experiment, whatever came out. Of a sweep its "
            "last step, of draws the first. All completions follow below, and are in samples/, one "
            "file for each experiment."
        )
        if any("thought" in row for row in rows):
            text += " Judges read the completion alone, and nothing of the thought before it."
        return Panel("Completions", [Prose(text), *grids], order=40)


def _experiment(name: str, rows: Sequence[Row]) -> Iterator[Grid]:
    arms: dict[str, Record] = {}
    for row in rows:
        axes = arm_axes(row)
        arms.setdefault(str(axes), Record("arm", None, 0, "", "", axes=axes))
    shown = [
        (one.records[-1] if one.shape == "sweep" else one.records[0]).axes
        for one in group_series(list(arms.values()), sweep_axis(arms.values()))
    ]
    for example in list(dict.fromkeys(row["example"] for row in rows))[:_PROMPTS]:
        mine = {str(arm_axes(row)): row for row in rows if row["example"] == example}
        found = [(axes, mine[str(axes)]) for axes in shown if str(axes) in mine]
        yield _prompt(name, found)


def _prompt(experiment: str, found: Sequence[tuple[Mapping[str, JSON], Row]]) -> Grid:
    scores = list(
        dict.fromkeys(
            (evaluator, score)
            for _, row in found
            for evaluator, verdict in row["verdicts"].items()
            for score in verdict
            if score != "note"
        )
    )
    several = len({evaluator for evaluator, _ in scores}) > 1
    columns = [f"{score} ({evaluator})" if several else score for evaluator, score in scores]
    thinks = any("thought" in row for _, row in found)
    rows: list[list[JSON]] = []
    for axes, row in found:
        verdicts = [_verdict(row, evaluator, score) for evaluator, score in scores]
        thought = [str(row.get("thought", ""))] * thinks
        rows.append([arm_label(axes), *thought, answer_of(row), *verdicts])
    prompt = str(found[0][1]["text"]) if found else ""
    shown = prompt if len(prompt) <= _TITLE else f"{prompt[:_TITLE]}…"
    head = ("arm", *["thought"] * thinks, "completion", *columns)
    return Grid(f"{experiment}: “{shown}”", head, rows)


def _verdict(row: Row, evaluator: str, score: str) -> JSON:
    value: JSON = row["verdicts"].get(evaluator, {}).get(score)
    return "not judged" if value is None else value
