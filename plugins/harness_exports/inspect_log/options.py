"""Options of `inspect`. Imports nothing heavy."""

from __future__ import annotations

from harness.contract import ExportOptions
from harness_exports.arms.dates import RunDate


class InspectLogsOptions(ExportOptions):
    """Options of `inspect`."""

    edited: bool = True
    """Whether arms under an intervention get a log, too. Its task then says which one it is."""
    made: RunDate | None = None
    """When the run was made, such as 2026-11-29T09:00:00Z. Without it, when its first claim was
    written, or 1970: results keep no time."""
