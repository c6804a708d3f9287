"""What `--set` may give to `csv`. Imports nothing heavy."""

from __future__ import annotations

from harness.contract import ExportOptions


class CsvOptions(ExportOptions):
    """Options of `csv`."""

    completions: bool = True
    """Whether `completions.csv` is written: what models wrote, with each verdict."""
