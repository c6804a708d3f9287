"""What the interventions did: every score of every experiment, drawn."""

from __future__ import annotations

from harness.contract import Panel, Prose, Results
from harness.results.headline import (
    experiment_scores,
    measured_on,
    records_by_experiment,
    score_name,
)
from harness.results.series import group_series, sweep_axis
from harness_sections.charts.styles import looks
from harness_sections.charts.scores import chart
from harness_sections.plain import Plain


class Interventions:
    """A figure for each experiment and score."""

    def __init__(self, options: Plain) -> None:
        self.options = options

    def panel(self, results: Results) -> Panel | None:
        """The figures, or None where there are no experiments."""
        found = []
        for name, records in records_by_experiment(results).items():
            columns = experiment_scores(records)
            axis = sweep_axis(record for mine in columns.values() for record in mine)
            for column, mine in columns.items():
                score = score_name(column, list(columns))
                place = measured_on(mine)
                title = f"{name}: {score}, {place}"
                found.append((title, score, place, group_series(mine, axis), axis))
        if not found:
            return None
        # One look for each label in all figures, so that colours mean the same everywhere.
        # Sweeps come first: theirs are the plainest colours.
        every = [one for *_, group, _ in found for one in group]
        look = looks(one.label for one in sorted(every, key=lambda one: one.shape != "sweep"))
        figures = [
            chart(title, score, place, group, axis, look)
            for title, score, place, group, axis in found
        ]
        text = (
            "Lines are sweeps. What is not swept stands right of them, with a line or a band "
            "across for comparison; a band is the range of the draws."
        )
        swept = any(axis is not None for *_, axis in found)
        return Panel("Interventions", [*([Prose(text)] if swept else []), *figures], order=10)
