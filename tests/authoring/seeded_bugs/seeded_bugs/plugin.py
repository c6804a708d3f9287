"""What is here: by bug, a component that has it and its sound twin."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

harness_contract = "1.0"
BUGS = {
    "merge_order": ("statistic", "sums:MergeOrder", "sums:Peak"),
    "batch_mean": ("metric", "metrics:BatchMean", "metrics:Spread"),
    "writes_input": ("metric", "metrics:WritesInput", "metrics:Spread"),
    "reads_unselected": ("metric", "metrics:ReadsUnselected", "metrics:Spread"),
    "noise": ("metric", "metrics:Noise", "metrics:Spread"),
    "noise_sae": ("sae_format", "saes:Noisy", "saes:Plain"),
    "reads_padding": ("backend", "backends:ReadsPadding", "backends:Sound"),
    "leaves_hook": ("backend", "backends:LeavesHook", "backends:Sound"),
    "judge_of_batch": ("evaluator", "judges:OfBatch", "judges:Length"),
    "judge_flips": ("evaluator", "judges:Flips", "judges:Length"),
}
"""By name: kind, the class with the bug, and its twin's."""
OPTIONS = {
    "statistic": "SumsOptions",
    "metric": "SpreadOptions",
    "sae_format": "PlainOptions",
    "backend": "SmallOptions",
    "evaluator": "LengthOptions",
}


@hookimpl
def harness_components() -> Iterable[Component]:
    """All of them."""
    return tuple(
        Component(
            kind=kind,
            name=f"{name}_{which}",
            summary=f"{name}, {which}",
            load=f"seeded_bugs.{load}",
            options=f"seeded_bugs.options:{OPTIONS[kind]}",
            samples=f"seeded_bugs.samples:{name}_{which}",
        )
        for name, (kind, bug, twin) in BUGS.items()
        for which, load in (("bug", bug), ("twin", twin))
    )
