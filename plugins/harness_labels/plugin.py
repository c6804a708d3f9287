"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


@hookimpl
def harness_components() -> Iterable[Component]:
    """The sources of labels."""
    return (
        Component(
            kind="labels",
            name="neuronpedia",
            summary="descriptions from Neuronpedia, kept on disk for good",
            load="harness_labels.neuronpedia:Neuronpedia",
            options="harness_labels.options:Neuronpedia",
        ),
        Component(
            kind="labels",
            name="contexts",
            summary="the most characteristic tokens of the contexts that this run collected",
            load="harness_labels.contexts:Contexts",
            options="harness_labels.options:Contexts",
        ),
        Component(
            kind="labels",
            name="file",
            summary="descriptions and clusters from a CSV or jsonl file",
            load="harness_labels.label_file:File",
            options="harness_labels.options:File",
        ),
    )
