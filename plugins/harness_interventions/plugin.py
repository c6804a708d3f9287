"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_INTERVENTIONS = {
    "ablation": "removes a direction from the residual stream, everywhere",
    "addition": "adds a direction at its own site, at every position",
    "pc_injection": "adds the principal components of a change, at their own lengths",
    "feature_zeroing": "takes an SAE's features out of the activations it reads, and nothing else",
    "conditional_addition": "adds a direction only where a latent of an SAE is active",
    "latent_clamp": "holds latents of an SAE at a value, and leaves everything else as it is",
    "affine_editing": "sets what lies along a direction to what a reference point has there",
    "concept_erasure": "takes out what is read along a direction, at one site, by its own readers",
    "projection": "projects activations onto a subspace, or out of it, at one site",
    "latent_swap": "swaps what latents of an SAE or a crosscoder say of two views, token by token",
}
"""By name: a summary. `pc_injection` is the class PcInjection in the module of its name."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The interventions; each ships samples."""
    return tuple(
        Component(
            kind="intervention",
            name=name,
            summary=summary,
            load=f"harness_interventions.{name}:{name.title().replace('_', '')}",
            options=f"harness_interventions.options:{name.title().replace('_', '')}Options",
            samples=f"harness_interventions.samples:{name}",
        )
        for name, summary in _INTERVENTIONS.items()
    )
