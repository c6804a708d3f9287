"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


@hookimpl
def harness_components() -> Iterable[Component]:
    """An SAE format and a metric."""
    return (
        Component(
            kind="sae_format",
            name="polar",
            summary="SAEs whose encoder sees directions alone, and scales with the length",
            load="acme_harness.sae:Polar",
            options="acme_harness.options:PolarOptions",
            samples="acme_harness.samples:polar",
        ),
        Component(
            kind="metric",
            name="length_ratio",
            summary="how much longer the right side's activations are than the left side's",
            load="acme_harness.metric:LengthRatio",
            options="acme_harness.options:LengthRatioOptions",
            samples="acme_harness.samples:length_ratio",
        ),
    )
