"""What `--set` may give to `ledger`. Imports no torch."""

from __future__ import annotations

from harness.contract import ExportOptions


class LedgerOptions(ExportOptions):
    """Options of `ledger`."""

    undefined: bool = True
    """Whether scores without a value have a line, too, which says why there is none."""
