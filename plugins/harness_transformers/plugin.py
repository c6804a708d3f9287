"""The transformers backend: models of the Hugging Face hub, or folders in their form."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


@hookimpl
def harness_components() -> Iterable[Component]:
    """One backend."""
    return [
        Component(
            kind="backend",
            name="transformers",
            summary="Causal language models through Hugging Face transformers, with peft adapters",
            load="harness_transformers.backend:TransformersBackend",
            options="harness_transformers.options:TransformersOptions",
            samples="harness_transformers.samples:samples",
        )
    ]
