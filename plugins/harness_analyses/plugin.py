"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_ANALYSES = {
    "agreement": (
        "how often two judges of the same completions agree, and where they do not",
        "agreement:Agreement",
    ),
    "rejection_pair": (
        "what is rejected of prompts that should be, and of prompts that should not: never one",
        "rejection_pair:RejectionPair",
    ),
    "clusters": (
        "flips and shifts by semantic cluster, and how far its labels can be trusted",
        "clusters.analysis:Clusters",
    ),
    "layer_profile": (
        "in which layers a fine-tune flips latents, and where their centre lies",
        "flips.layer_profile:LayerProfile",
    ),
    "flip_overlap": (
        "whether two fine-tunes, or two checkpoints, flip the same latents",
        "flips.flip_overlap:FlipOverlap",
    ),
    "trajectory": (
        "how numbers move along the checkpoints of a fine-tune",
        "flips.trajectory:Trajectory",
    ),
    "correlation_over": (
        "whether two numbers go together over an axis: sparsities, widths, layers, checkpoints",
        "over.correlation_over:CorrelationOver",
    ),
    "sts": (
        "which domains fine-tuning will change, from the features its data shift",
        "transfer.sts:Sts",
    ),
    "transfer_correlation": (
        "whether a forecast of transfer came true in the accuracies of the domains",
        "transfer.transfer_correlation:TransferCorrelation",
    ),
    "transfer_forecast": (
        "whether forecasts of transfer came true, over several fine-tunes and all domains",
        "transfer.fine_tunes.transfer_forecast:TransferForecast",
    ),
    "mixture_advice": (
        "shares of extra training data for each domain, by its forecast",
        "transfer.mixture_advice:MixtureAdvice",
    ),
    "logit_lens": (
        "what a fine-tune writes into the first tokens of any text, as the model's head reads it",
        "difference_lens.logit_lens:LogitLens",
    ),
    "patchscope": (
        "the same as the model says it, where the difference stands in for a token of a prompt",
        "difference_lens.patchscope:Patchscope",
    ),
    "fvu_settings": (
        "how much worse an SAE gets on other text and in another model",
        "sae_fit.fvu_settings:FvuSettings",
    ),
    "hidden_shift": (
        "sites whose features have changed while their activations look the same",
        "sae_fit.hidden_shift:HiddenShift",
    ),
    "newness": (
        "whether a fine-tune wrote something new at a site, or moved what was there",
        "newness.newness:Newness",
    ),
    "component_lens": (
        "what the components of a change say to the head of a model",
        "newness.component_lens:ComponentLens",
    ),
    "found": (
        "at which rank each method finds what was planted in models whose change is known",
        "found.found:Found",
    ),
}
"""By name: a summary, and the class; its options are called as it is, with `Options` behind, and
are in the module `options` beside it, as its samples are in `samples`."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The analyses."""
    return tuple(_component(name, *given) for name, given in _ANALYSES.items())


def _component(name: str, summary: str, load: str) -> Component:
    where = f"{__package__}.{load}"
    folder, made = where.rpartition(".")[0], load.partition(":")[2]
    options, samples = f"{folder}.options:{made}Options", f"{folder}.samples:{name}"
    return Component("analysis", name, summary, where, options, samples=samples)
