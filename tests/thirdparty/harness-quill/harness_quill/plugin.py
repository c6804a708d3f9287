"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

harness_contract = "1.0"
"""The version of the contract that this was written for."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The backend `quill`."""
    return (
        Component(
            kind="backend",
            name="quill",
            summary="a small model with a fading memory, read from one file",
            load="harness_quill.backend:QuillBackend",
            options="harness_quill.options:QuillOptions",
            samples="harness_quill.samples:samples",
        ),
    )
