"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_INTERVENTIONS = {
    "ablation": "removes a direction from the residual stream, everywhere",
    "addition": "adds a direction at its own site, at every position",
    "pc_injection": "adds the principal components of a change, at their own lengths",
    "feature_zeroing": "takes an SAE's features out of the activations it reads, and nothing else",
}
"""By name: a summary. `pc_injection` is the class PcInjection in the module of its name."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The interventions; all but the one that needs an SAE ship samples."""
    return tuple(
        Component(
            kind="intervention",
            name=name,
            summary=summary,
            load=f"harness_interventions.{name}:{name.title().replace('_', '')}",
            options=f"harness_interventions.options:{name.title().replace('_', '')}Options",
            samples="" if name == "feature_zeroing" else f"harness_interventions.samples:{name}",
        )
        for name, summary in _INTERVENTIONS.items()
    )
