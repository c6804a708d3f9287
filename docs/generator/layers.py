"""The layers of the harness and its public modules, said once: the docs and the tests read this.

A *part* is a package or a module directly in `harness/`. A part imports only parts of lower
layers, so whoever reads one needs to know nothing of those above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """Parts that import only parts of lower layers, and what they have in common."""

    name: str
    parts: tuple[str, ...]


FACE = "harness"
"""`harness/__init__.py`, which holds the functions of the Python face, as a part."""

LABELS: Mapping[str, str] = {FACE: "import harness"}
"""How people know a part that has another name in the code."""

LAYERS = (
    Layer("words and errors", ("errors", "text", "version")),
    Layer("the contract, and the world outside", ("contract", "garbage", "machine", "web")),
    Layer(
        "plugins are found, files are kept, figures are drawn",
        ("registry", "store", "drawing", "latents", "sites"),
    ),
    Layer("a task, and what a run left", ("task", "results", "judges")),
    Layer(
        "a plan, and what is made of results",
        ("planning", "settings", "report", "comparison", "gates", "claims", "families"),
    ),
    Layer(
        "a run, several runs, exports, the laws of plugins",
        ("running", "several", "export", "testing"),
    ),
    Layer("help for authors of plugins", ("authoring",)),
    Layer("three doors: Python, command line, trainers", (FACE, "cli", "training")),
)
"""From the bottom to the top."""

MOVED = ("latents", "sites")
"""Old names of modules that are now in the contract; they go with the next release."""

RESERVED = ("compare", "load", "load_results", "load_runs", "plan", "run")
"""Functions of the Python face. A part that is called like one replaces it at its first import."""

PUBLIC: Mapping[str, str] = {
    "harness.contract": "what a plugin is made of: kinds, options, values, sites, edits, latents",
    "harness.errors": "what to raise where a person, the machine or the run is at fault",
    "harness.results": "the records, tables and series of a run, for sections of the report",
    "harness.gates": "which conditions of a task hold of its numbers, for sections of the report",
    "harness.judges": "models that judge, loaded here or behind a server, with their options",
    "harness.store": "files written whole or not at all, append-only files, keys of caches",
    "harness.drawing": "a figure of the report as an SVG picture",
    "harness.text": "text of models made harmless for a terminal",
    "harness.web": "a patient HTTP client that keeps keys to itself",
}
"""What the modules of a plugin may import of the harness, and what for."""

FOR_SAMPLES: Mapping[str, str] = {
    "harness.testing": "the laws of each kind of plugin, for samples and tests",
}
"""What only `samples.py` and tests of a plugin may import: it is not needed to compute anything."""


def part_of(module: str) -> str:
    """The part that holds a module of the harness; `python -m harness` is the command line."""
    inside = module.removeprefix("harness").lstrip(".").partition(".")[0]
    return "cli" if inside == "__main__" else inside or FACE


def level(part: str) -> int:
    """The number of a part's layer, 1 at the bottom; KeyError where no layer holds it."""
    for number, layer in enumerate(LAYERS, start=1):
        if part in layer.parts:
            return number
    raise KeyError(part)
