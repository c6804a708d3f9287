"""The results in a notebook: a headline, and the figures of the report."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from harness.contract import Figure, Results
from harness.registry import Registry, discover
from harness.report.claim_table import ClaimTable
from harness.report.embed import plotly_figure
from harness.report.page import fragment
from harness.report.panels import panels

if TYPE_CHECKING:
    import plotly.graph_objects as go


class NotebookResults(Results):
    """Results that show themselves: what `harness.run` and `harness.load_results` return."""

    @classmethod
    def of(cls, results: Results) -> NotebookResults:
        """The same results, able to show themselves."""
        given = {field.name: getattr(results, field.name) for field in fields(results)}
        return cls(**{**given, "claims": ClaimTable(results.claims)})

    def figures(self) -> list[go.Figure]:
        """The figures of the report, for a notebook."""
        return figures(self)

    def _repr_html_(self) -> str:
        return fragment(self)


def figures(results: Results, registry: Registry | None = None) -> list[go.Figure]:
    """Every figure that the installed sections make of these results."""
    import plotly.graph_objects as go

    found = []
    for panel in panels(results, registry or discover()):
        for block in panel.blocks:
            if isinstance(block, Figure):
                layout = {"title": {"text": block.title}, "margin": {"t": 48}, **block.layout}
                found.append(go.Figure(plotly_figure(block.data, layout)))
    return found
