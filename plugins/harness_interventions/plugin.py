"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


@hookimpl
def harness_components() -> Iterable[Component]:
    """The two interventions."""
    return (
        Component(
            kind="intervention",
            name="ablation",
            summary="removes a direction from the residual stream, everywhere",
            load="harness_interventions.ablation:Ablation",
            options="harness_interventions.options:Ablation",
        ),
        Component(
            kind="intervention",
            name="addition",
            summary="adds a direction at its own site, at every position",
            load="harness_interventions.addition:Addition",
            options="harness_interventions.options:Addition",
        ),
    )
