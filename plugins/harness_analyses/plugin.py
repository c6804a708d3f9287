"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


@hookimpl
def harness_components() -> Iterable[Component]:
    """The analyses."""
    return (
        Component(
            kind="analysis",
            name="agreement",
            summary="how often two judges of the same completions agree, and where they do not",
            load="harness_analyses.agreement:Agreement",
            options="harness_analyses.options:Agreement",
        ),
    )
