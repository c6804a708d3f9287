"""What `--set` may give to `latex`. Imports nothing heavy."""

from __future__ import annotations

from pydantic import Field

from harness.contract import ExportOptions


class LatexOptions(ExportOptions):
    """Options of `latex`."""

    folded: bool = False
    """Whether tables that the page keeps closed are written, too, such as that of every record."""
    page: int = Field(110, ge=40, le=400)
    """How many characters of a table stand beside each other, in footnotesize: 110 fill a page of
    A4 with one column, 55 one of two columns. A wider table is in parts below each other."""
