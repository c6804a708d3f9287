"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

harness_contract = "1.0"
"""The version of the contract that this was written for."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The observer `lookout`."""
    return (
        Component(
            kind="observer",
            name="lookout",
            summary="a small file that says how far the run is",
            load="lookout_harness.lookout:Lookout",
            options="lookout_harness.options:LookoutOptions",
            samples="lookout_harness.samples:samples",
        ),
    )
