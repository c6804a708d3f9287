"""Which gates of the task hold."""

from __future__ import annotations

from harness.contract import Grid, Panel, Prose, Results
from harness.errors import DataError
from harness.gates import check_results
from harness_sections.plain import PlainSection


class Gates(PlainSection):
    """A row for each gate and record, those that failed first."""

    def panel(self, results: Results) -> Panel | None:
        """A table, or None where the task has no gates."""
        try:
            found = check_results(results)
        except DataError as error:  # results that were edited by hand
            return Panel("Gates", [Prose(str(error), "warning")], order=5)
        if not found:
            return None
        failed = sum(not one.passed for one in found)
        summary = (
            Prose(f"{failed} of {len(found)} checks failed.", "warning")
            if failed
            else Prose(f"All {len(found)} hold.")
        )
        rows = [
            ["passed" if one.passed else "FAILED", one.gate.name, one.gate.text, one.message]
            for one in sorted(found, key=lambda one: one.passed)
        ]
        return Panel(
            "Gates", [summary, Grid("", ("", "gate", "condition", "found"), rows)], order=5
        )
