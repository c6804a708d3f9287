"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


@hookimpl
def harness_components() -> Iterable[Component]:
    """One SAE format."""
    return (
        Component(
            kind="sae_format",
            name="saelens",
            summary="a SAELens folder (cfg.json, sae_weights.safetensors), or a release and id",
            load="harness_saes.saelens:Saelens",
            options="harness_saes.options:SaelensOptions",
        ),
    )
