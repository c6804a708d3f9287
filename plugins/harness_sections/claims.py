"""What the analyses conclude, in their own words, before any number."""

from __future__ import annotations

from harness.contract import Panel, Prose, Results
from harness.results.claims import conclusions
from harness_sections.plain import Plain

_MOST = 40
"""Verdicts of a table that are shown."""


class Verdicts:
    """The column `verdict` of the tables of analyses, a line for each row."""

    def __init__(self, options: Plain) -> None:
        self.options = options

    def panel(self, results: Results) -> Panel | None:
        """A paragraph for each table; None where no table has a verdict."""
        blocks = []
        for name, said in conclusions(results).items():
            more = [f"… and {len(said) - _MOST} more: see tables/{name}"] * (len(said) > _MOST)
            blocks.append(Prose("\n".join([*said[:_MOST], *more])))
        return Panel("Verdict", blocks, order=3) if blocks else None
