"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


@hookimpl
def harness_components() -> Iterable[Component]:
    """The interventions."""
    return (
        Component(
            kind="intervention",
            name="ablation",
            summary="removes a direction from the residual stream, everywhere",
            load="harness_interventions.ablation:Ablation",
            options="harness_interventions.options:Ablation",
            samples="harness_interventions.samples:ablation",
        ),
        Component(
            kind="intervention",
            name="addition",
            summary="adds a direction at its own site, at every position",
            load="harness_interventions.addition:Addition",
            options="harness_interventions.options:Addition",
            samples="harness_interventions.samples:addition",
        ),
        Component(
            kind="intervention",
            name="pc_injection",
            summary="adds the principal components of a change, at their own lengths",
            load="harness_interventions.pc_injection:PcInjection",
            options="harness_interventions.options:PcInjection",
            samples="harness_interventions.samples:pc_injection",
        ),
        Component(
            kind="intervention",
            name="feature_zeroing",
            summary="takes an SAE's features out of the activations it reads, and nothing else",
            load="harness_interventions.feature_zeroing:FeatureZeroing",
            options="harness_interventions.options:FeatureZeroing",
        ),
    )
