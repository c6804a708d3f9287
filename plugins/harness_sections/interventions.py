"""What the interventions did: every score of every experiment, drawn."""

from __future__ import annotations

from harness.contract import Panel, Prose, Results
from harness.results import (
    experiment_scores,
    group_series,
    measured_on,
    records_by_experiment,
    score_name,
    sweep_axis,
)
from harness_sections.charts.scores import score_chart
from harness_sections.charts.styles import distinct_styles
from harness_sections.plain import PlainSection

_HOW = (
    "Lines are sweeps. What is not swept stands right of them, with a line or a band "
    "across for comparison; a band is the range of the draws."
)


class Interventions(PlainSection):
    """A figure for each experiment and score."""

    def panel(self, results: Results) -> Panel | None:
        """The figures, or None where there are no experiments."""
        found = []
        for name, records in records_by_experiment(results).items():
            scores = experiment_scores(records)
            axis = sweep_axis(record for mine in scores.values() for record in mine)
            for key, mine in scores.items():
                score, where = score_name(key, list(scores)), measured_on(mine)
                title = f"{name}: {score}, {where}"
                found.append((title, score, where, group_series(mine, axis), axis))
        if not found:
            return None
        # One style for each label in all figures, so that colours mean the same everywhere.
        # Sweeps come first: theirs are the plainest colours.
        every = [one for *_, group, _ in found for one in group]
        ordered = sorted(every, key=lambda one: one.shape != "sweep")
        styles = distinct_styles(one.label for one in ordered)
        figures = [score_chart(*arguments, styles) for arguments in found]
        how = [Prose(_HOW)] if any(axis is not None for *_, axis in found) else []
        return Panel("Interventions", [*how, *figures], order=10)
