"""What `--set` may give to the exports. Imports nothing heavy."""

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


class CsvOptions(ExportOptions):
    """Options of `csv`."""

    completions: bool = True
    """Whether `completions.csv` is written: what models wrote, with each verdict."""


class LatexOptions(ExportOptions):
    """Options of `latex`."""

    folded: bool = False
    """Whether tables that the page keeps closed are written, too, such as that of every record."""
    page: int = Field(110, ge=40, le=400)
    """How many characters of a table stand beside each other, in footnotesize: 110 fill a page of
    A4 with one column, 55 one of two columns. A wider table is in parts below each other."""
