"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_INTERVENTIONS = {
    "ablation": ("removes a direction from the residual stream, everywhere", "Ablation", True),
    "addition": ("adds a direction at its own site, at every position", "Addition", True),
    "pc_injection": (
        "adds the principal components of a change, at their own lengths",
        "PcInjection",
        True,
    ),
    "feature_zeroing": (
        "takes an SAE's features out of the activations it reads, and nothing else",
        "FeatureZeroing",
        False,
    ),
}


@hookimpl
def harness_components() -> Iterable[Component]:
    """The interventions: each is a class in a module of its name, and most ship samples."""
    return tuple(
        Component(
            kind="intervention",
            name=name,
            summary=summary,
            load=f"harness_interventions.{name}:{intervention}",
            options=f"harness_interventions.options:{intervention}Options",
            samples=f"harness_interventions.samples:{name}" if sampled else "",
        )
        for name, (summary, intervention, sampled) in _INTERVENTIONS.items()
    )
