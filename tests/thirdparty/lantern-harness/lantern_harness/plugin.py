"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

harness_contract = "1.0"
_COMPONENTS = {
    "effective_dimensions": ("metric", "how many dimensions activations really use"),
    "scaled_means": ("direction", "difference in means, each dimension over its variance"),
    "turn": ("intervention", "turns activations towards a direction, at their own lengths"),
    "tails": ("statistic", "excess kurtosis of each dimension of the activations"),
    "sentences": ("evaluator", "whether an answer is a whole sentence, and words in a sentence"),
    "glossary": ("labels", "descriptions from a TOML file"),
    "range_of": ("analysis", "between which sites a number differs most"),
    "by_size": ("section", "the numbers of lantern_harness, largest first"),
}
"""By name: kind and summary; `range_of` is the class RangeOf in the module of its name."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """One of each."""
    return tuple(
        Component(
            kind=kind,
            name=name,
            summary=summary,
            load=f"lantern_harness.{name}:{name.title().replace('_', '')}",
            options=f"lantern_harness.options:{name.title().replace('_', '')}Options",
            samples=f"lantern_harness.samples:{name}",
        )
        for name, (kind, summary) in _COMPONENTS.items()
    )
