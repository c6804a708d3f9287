"""What the analyses conclude, in their own words, before any number."""

from __future__ import annotations

from harness.contract import Panel, Prose, Results
from harness.results import conclusions
from harness_sections.plain import PlainSection

_MOST = 40
"""Sentences of a table that are shown."""


class Conclusions(PlainSection):
    """The sentences that the tables of analyses conclude, a line for each."""

    def panel(self, results: Results) -> Panel | None:
        """A paragraph for each table; None where no table concludes anything."""
        blocks = []
        for name, sentences in conclusions(results).items():
            left_out = len(sentences) - _MOST
            more = [f"… and {left_out} more: see tables/{name}"] if left_out > 0 else []
            blocks.append(Prose("\n".join([*sentences[:_MOST], *more])))
        return Panel("Verdict", blocks, order=3) if blocks else None
