"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_ANALYSES = {
    "agreement": (
        "how often two judges of the same completions agree, and where they do not",
        "agreement:Agreement",
        "options:AgreementOptions",
    ),
    "clusters": (
        "flips and shifts by semantic cluster, and how far its labels can be trusted",
        "clusters.analysis:Clusters",
        "clusters.options:ClustersOptions",
    ),
    "layer_profile": (
        "in which layers a fine-tune flips latents, and where their centre lies",
        "flips.layer_profile:LayerProfile",
        "flips.options:LayerProfileOptions",
    ),
    "flip_overlap": (
        "whether two fine-tunes, or two checkpoints, flip the same latents",
        "flips.flip_overlap:FlipOverlap",
        "flips.options:FlipOverlapOptions",
    ),
    "trajectory": (
        "how numbers move along the checkpoints of a fine-tune",
        "flips.trajectory:Trajectory",
        "flips.options:TrajectoryOptions",
    ),
    "sts": (
        "which domains fine-tuning will change, from the features its data shift",
        "transfer.sts:Sts",
        "transfer.options:StsOptions",
    ),
    "transfer_correlation": (
        "whether a forecast of transfer came true in the accuracies of the domains",
        "transfer.transfer_correlation:TransferCorrelation",
        "transfer.options:TransferCorrelationOptions",
    ),
    "mixture_advice": (
        "shares of extra training data for each domain, by its forecast",
        "transfer.mixture_advice:MixtureAdvice",
        "transfer.options:MixtureAdviceOptions",
    ),
    "fvu_settings": (
        "how much worse an SAE gets on other text and in another model",
        "sae_fit.fvu_settings:FvuSettings",
        "sae_fit.options:FvuSettingsOptions",
    ),
    "hidden_shift": (
        "sites whose features have changed while their activations look the same",
        "sae_fit.hidden_shift:HiddenShift",
        "sae_fit.options:HiddenShiftOptions",
    ),
}


@hookimpl
def harness_components() -> Iterable[Component]:
    """The analyses."""
    return tuple(
        Component("analysis", name, summary, f"{__package__}.{load}", f"{__package__}.{options}")
        for name, (summary, load, options) in _ANALYSES.items()
    )
