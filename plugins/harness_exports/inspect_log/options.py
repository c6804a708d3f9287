"""Options of `inspect`. Imports nothing heavy."""

from __future__ import annotations

from pydantic import Field

from harness.contract import ExportOptions


class InspectLogsOptions(ExportOptions):
    """Options of `inspect`."""

    edited: bool = True
    """Whether arms under an intervention get a log, too. Its task then says which one it is."""
    made: str | None = Field(
        None, pattern=r"^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?$"
    )
    """When the run was made, such as 2026-11-29T09:00:00Z. Without it, when its first claim was
    written, or 1970: results keep no time."""
