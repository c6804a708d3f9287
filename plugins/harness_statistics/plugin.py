"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_STATISTICS = {
    "feature_shift": (
        "features that appeared, disappeared or changed between two models",
        "feature_shift:FeatureShift",
        "options:FeatureShiftOptions",
    ),
    "contexts": (
        "where in the text each feature of an SAE is most active",
        "contexts:Contexts",
        "options:ContextsOptions",
    ),
    "flip_rate": (
        "latents that a fine-tune, or a few directions of its change, turns on and off",
        "flip_rate.flip_rate:FlipRate",
        "flip_rate.options:FlipRateOptions",
    ),
    "pc_feature_cosine": (
        "how principal components of a change are aligned with an SAE's features",
        "pc_feature_cosine:PcFeatureCosine",
        "options:PcFeatureCosineOptions",
    ),
    "latent_moments": (
        "sums, squares and squared changes of every latent: what sts is made from",
        "moments:LatentMoments",
        "options:LatentMomentsOptions",
    ),
}


@hookimpl
def harness_components() -> Iterable[Component]:
    """The statistics."""
    return tuple(
        Component("statistic", name, summary, f"{__package__}.{load}", f"{__package__}.{options}")
        for name, (summary, load, options) in _STATISTICS.items()
    )
