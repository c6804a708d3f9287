"""What `--set` may give to `figures`. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.contract import ExportOptions


class FiguresOptions(ExportOptions):
    """Options of `figures`."""

    format: Literal["svg", "png", "both"] = "svg"
    """What each figure becomes. PNG needs an extra: `pip install 'sae-harness[png]'`."""
    width: int = Field(1720, ge=200, le=8000)
    """The width of a PNG, in pixels; its height follows from the figure. An SVG has none of its
    own: it is as large as the page makes it."""
