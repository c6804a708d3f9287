"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

harness_contract = "1.0"
"""The version of the contract that this was written for."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The executor `choir`."""
    return (
        Component(
            kind="executor",
            name="choir",
            summary="threads of this process, each with models of its own",
            load="harness_choir.choir:Choir",
            options="harness_choir.options:ChoirOptions",
            samples="harness_choir.samples:samples",
        ),
    )
