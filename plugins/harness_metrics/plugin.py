"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_METRICS = {
    "fvu": "fraction of variance that an SAE leaves unexplained",
    "l0": "mean number of active latents per token",
    "cosine": "cosines between both sides' activations, latents and reconstructions",
    "displacement": "how far activations moved, as a share of their length, and how many did",
    "explained_ratio": (
        "what an SAE fails to explain of the right side, over how far the sides are apart"
    ),
    "fvu_change": "what an SAE's latents do not rebuild of a change, over that change",
    "intersection_ratio": "latents active on both sides, out of those active on either",
    "latent_overlap": "overlap of both sides' largest latents, by token and over the data",
    "l1_divergence": "absolute differences between both sides' latents",
    "kl": "divergences between both sides' next-token distributions",
    "cka": "linear centered kernel alignment of both sides' activations",
    "dead_share": "share of an SAE's latents that are active nowhere in the data",
    "activation_norm": "quantiles of the lengths of activations",
}
"""By name: a summary. `explained_ratio` is the class ExplainedRatio in the module of its name."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """Metrics of one view, and of pairs of views."""
    return tuple(
        Component(
            kind="metric",
            name=name,
            summary=summary,
            load=f"harness_metrics.{name}:{name.title().replace('_', '')}",
            options=f"harness_metrics.options:{name.title().replace('_', '')}Options",
            samples=f"harness_metrics.samples:{name}",
        )
        for name, summary in _METRICS.items()
    )
