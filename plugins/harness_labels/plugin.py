"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_LABELS = {
    "neuronpedia": (
        "descriptions from Neuronpedia, kept on disk for good",
        "neuronpedia:Neuronpedia",
    ),
    "contexts": (
        "the most characteristic tokens of the contexts that this run collected",
        "contexts:Contexts",
    ),
    "file": (
        "descriptions and clusters from a CSV or jsonl file",
        "label_file:File",
    ),
}
"""By name: a summary, and the class; its options are called as it is, with `Options` behind, and
are in the module `options` beside it."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The sources of labels."""
    return tuple(_component(name, *given) for name, given in _LABELS.items())


def _component(name: str, summary: str, load: str) -> Component:
    where = f"{__package__}.{load}"
    folder, made = where.rpartition(".")[0], load.partition(":")[2]
    samples, options = f"{folder}.samples:{name}", f"{folder}.options:{made}Options"
    return Component("labels", name, summary, where, options, samples=samples)
