"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_METRICS = {
    "fvu": ("fraction of variance that an SAE leaves unexplained", "Fvu"),
    "l0": ("mean number of active latents per token", "L0"),
    "cosine": ("cosines between both sides' activations, latents and reconstructions", "Cosine"),
    "explained_ratio": (
        "what an SAE fails to explain of the right side, over how far the sides are apart",
        "ExplainedRatio",
    ),
    "intersection_ratio": (
        "latents active on both sides, out of those active on either",
        "IntersectionRatio",
    ),
    "latent_overlap": (
        "overlap of both sides' largest latents, by token and over the data",
        "LatentOverlap",
    ),
    "l1_divergence": ("absolute differences between both sides' latents", "L1Divergence"),
    "kl": ("divergences between both sides' next-token distributions", "Kl"),
}


@hookimpl
def harness_components() -> Iterable[Component]:
    """Metrics of one view, and of pairs of views; each is a class in a module of its name."""
    return tuple(
        Component(
            kind="metric",
            name=name,
            summary=summary,
            load=f"harness_metrics.{name}:{metric}",
            options=f"harness_metrics.options:{metric}Options",
            samples=f"harness_metrics.samples:{name}",
        )
        for name, (summary, metric) in _METRICS.items()
    )
