"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_LABELS = {
    "neuronpedia": (
        "descriptions from Neuronpedia, kept on disk for good",
        "neuronpedia:Neuronpedia",
        "NeuronpediaOptions",
    ),
    "contexts": (
        "the most characteristic tokens of the contexts that this run collected",
        "contexts:Contexts",
        "ContextsOptions",
    ),
    "file": (
        "descriptions and clusters from a CSV or jsonl file",
        "label_file:File",
        "FileOptions",
    ),
}


@hookimpl
def harness_components() -> Iterable[Component]:
    """The sources of labels."""
    return tuple(
        Component(
            kind="labels",
            name=name,
            summary=summary,
            load=f"harness_labels.{load}",
            options=f"harness_labels.options:{options}",
        )
        for name, (summary, load, options) in _LABELS.items()
    )
