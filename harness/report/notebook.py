"""The results in a notebook: a headline, and the figures of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.contract import Figure
from harness.registry import Registry, discover
from harness.report.embed import plotly_figure
from harness.report.page import fragment
from harness.report.panels import panels
from harness.results.read import Results

if TYPE_CHECKING:
    import plotly.graph_objects as go


def headline(results: Results) -> str:
    """Title, status and scores, as HTML; everything in it is escaped."""
    return fragment(results)


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
