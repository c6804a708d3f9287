"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


@hookimpl
def harness_components() -> Iterable[Component]:
    """The statistics."""
    return (
        Component(
            kind="statistic",
            name="feature_shift",
            summary="features that appeared, disappeared or changed between two models",
            load="harness_statistics.feature_shift:FeatureShift",
            options="harness_statistics.feature_shift_options:FeatureShift",
        ),
        Component(
            kind="statistic",
            name="contexts",
            summary="where in the text each feature of an SAE is most active",
            load="harness_statistics.contexts:Contexts",
            options="harness_statistics.options:Contexts",
        ),
        Component(
            kind="statistic",
            name="flip_rate",
            summary="latents that a fine-tune, or a few directions of its change, turns on and off",
            load="harness_statistics.flip_rate.flip_rate:FlipRate",
            options="harness_statistics.flip_rate.options:FlipRate",
        ),
        Component(
            kind="statistic",
            name="pc_feature_cosine",
            summary="how principal components of a change are aligned with an SAE's features",
            load="harness_statistics.pc_feature_cosine:PcFeatureCosine",
            options="harness_statistics.pc_feature_cosine_options:PcFeatureCosine",
        ),
        Component(
            kind="statistic",
            name="latent_moments",
            summary="sums, squares and squared changes of every latent: what sts is made from",
            load="harness_statistics.moments:LatentMoments",
            options="harness_statistics.moments_options:LatentMoments",
        ),
    )
