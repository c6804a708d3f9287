"""Runs the analyses of a task: numbers made from what the run has found."""

from __future__ import annotations

from harness.contract import AnalysisOptions, Findings, Outcome
from harness.errors import PluginError
from harness.task.task import Entry


def analyse(entry: Entry[AnalysisOptions], findings: Findings) -> Outcome:
    """Runs one analysis on the findings.

    Raises PluginError where it gives no Outcome, or one with directions.
    """
    outcome = entry.build().run(findings)
    if not isinstance(outcome, Outcome):
        what = f"gave a {type(outcome).__name__}. It must give an Outcome"
    elif outcome.directions:
        what = "gave directions. It must give records and tables; what finds directions is a pass"
    else:
        return outcome
    raise PluginError(
        f"analyses.{entry.name}: {entry.owner} {what}. Report it to the plugin's author."
    )
