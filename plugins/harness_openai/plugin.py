"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


@hookimpl
def harness_components() -> Iterable[Component]:
    """One backend."""
    return [
        Component(
            kind="backend",
            name="openai",
            summary="Models behind a server with OpenAI's protocol: they answer, and no more",
            load="harness_openai.backend:OpenAIBackend",
            options="harness_openai.options:OpenAIOptions",
            samples="harness_openai.samples:samples",
        )
    ]
