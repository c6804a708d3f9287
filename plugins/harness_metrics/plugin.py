"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


def _metric(name: str, summary: str, load: str, options: str) -> Component:
    return Component(
        kind="metric",
        name=name,
        summary=summary,
        load=f"harness_metrics.{load}",
        options=f"harness_metrics.options:{options}",
    )


@hookimpl
def harness_components() -> Iterable[Component]:
    """Metrics of one view, and of pairs of views."""
    return (
        _metric("fvu", "fraction of variance that an SAE leaves unexplained", "fvu:Fvu", "Fvu"),
        _metric("l0", "mean number of active latents per token", "l0:L0", "L0"),
        _metric(
            "cosine",
            "cosines between both sides' activations, latents and reconstructions",
            "cosine:Cosine",
            "Cosine",
        ),
        _metric(
            "explained_ratio",
            "what an SAE fails to explain of the right side, over how far the sides are apart",
            "explained_ratio:ExplainedRatio",
            "ExplainedRatio",
        ),
        _metric(
            "intersection_ratio",
            "latents active on both sides, out of those active on either",
            "intersection_ratio:IntersectionRatio",
            "IntersectionRatio",
        ),
        _metric(
            "latent_overlap",
            "overlap of both sides' largest latents, by token and over the data",
            "latent_overlap:LatentOverlap",
            "LatentOverlap",
        ),
        _metric(
            "l1_divergence",
            "absolute differences between both sides' latents",
            "l1_divergence:L1Divergence",
            "L1Divergence",
        ),
        _metric(
            "kl",
            "divergences between both sides' next-token distributions",
            "kl:Kl",
            "Kl",
        ),
    )
