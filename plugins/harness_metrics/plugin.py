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
    """Three metrics."""
    return (
        _metric("fvu", "fraction of variance that an SAE leaves unexplained", "fvu:Fvu", "Fvu"),
        _metric("l0", "mean number of active latents per token", "l0:L0", "L0"),
        _metric(
            "cosine",
            "mean cosine between both sides' activations, and between their latents",
            "cosine:Cosine",
            "Cosine",
        ),
    )
