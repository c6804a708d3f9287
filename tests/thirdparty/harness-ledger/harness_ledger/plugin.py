"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

harness_contract = "1.0"
"""The version of the contract that this was written for."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The export `ledger`."""
    return (
        Component(
            kind="export",
            name="ledger",
            summary="the scores of each experiment as lines of JSON",
            load="harness_ledger.ledger:Ledger",
            options="harness_ledger.options:LedgerOptions",
            samples="harness_ledger.samples:samples",
        ),
    )
