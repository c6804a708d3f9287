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
        Component(
            kind="analysis",
            name="clusters",
            summary="flips and shifts by semantic cluster, and how far its labels can be trusted",
            load="harness_analyses.clusters.analysis:Clusters",
            options="harness_analyses.clusters.options:ClustersOptions",
        ),
        Component(
            kind="analysis",
            name="layer_profile",
            summary="in which layers a fine-tune flips latents, and where their centre lies",
            load="harness_analyses.flips.layer_profile:LayerProfile",
            options="harness_analyses.flips.options:LayerProfile",
        ),
        Component(
            kind="analysis",
            name="flip_overlap",
            summary="whether two fine-tunes, or two checkpoints, flip the same latents",
            load="harness_analyses.flips.flip_overlap:FlipOverlap",
            options="harness_analyses.flips.options:FlipOverlap",
        ),
        Component(
            kind="analysis",
            name="trajectory",
            summary="how numbers move along the checkpoints of a fine-tune",
            load="harness_analyses.flips.trajectory:Trajectory",
            options="harness_analyses.flips.options:Trajectory",
        ),
        Component(
            kind="analysis",
            name="sts",
            summary="which domains fine-tuning will change, from the features its data shift",
            load="harness_analyses.transfer.sts:Sts",
            options="harness_analyses.transfer.options:Sts",
        ),
        Component(
            kind="analysis",
            name="transfer_correlation",
            summary="whether a forecast of transfer came true in the accuracies of the domains",
            load="harness_analyses.transfer.transfer_correlation:TransferCorrelation",
            options="harness_analyses.transfer.options:TransferCorrelation",
        ),
        Component(
            kind="analysis",
            name="mixture_advice",
            summary="shares of extra training data for each domain, by its forecast",
            load="harness_analyses.transfer.mixture_advice:MixtureAdvice",
            options="harness_analyses.transfer.options:MixtureAdvice",
        ),
        Component(
            kind="analysis",
            name="fvu_settings",
            summary="how much worse an SAE gets on other text and in another model",
            load="harness_analyses.sae_fit.fvu_settings:FvuSettings",
            options="harness_analyses.sae_fit.options:FvuSettings",
        ),
        Component(
            kind="analysis",
            name="hidden_shift",
            summary="sites whose features have changed while their activations look the same",
            load="harness_analyses.sae_fit.hidden_shift:HiddenShift",
            options="harness_analyses.hidden_shift_options:HiddenShift",
        ),
    )
