"""What goes with what: in one run by `correlation_over`, over several by what tells them apart."""

from __future__ import annotations

from harness.contract import Panel, Results, Runs
from harness_sections.plain import PlainSection
from harness_sections.together.over_runs import panel
from harness_sections.together.points import figures


class Together(PlainSection):
    """A figure for each correlation of a run; a table of the numbers that go with a setting."""

    def panel(self, results: Results) -> Panel | None:
        """The figures, or None where no analysis of the run correlates two numbers."""
        drawn = figures(results)
        return Panel("What goes with what", drawn, order=44) if drawn else None

    def panel_of_runs(self, runs: Runs) -> Panel | None:
        """What rises or falls with a setting in which the runs differ."""
        return panel(runs)
