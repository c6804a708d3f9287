"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_EVALUATORS = {
    "substrings": (
        "refusals by their wording, and broken text, which wording alone would count",
        "substrings:Substrings",
        "options:SubstringsOptions",
        "harness_evaluators.samples:substrings",
    ),
    "harmbench": (
        "harmful completions, as the HarmBench classifier judges them",
        "harmbench.evaluator:HarmBench",
        "harmbench.options:HarmBenchOptions",
        "",
    ),
    "lm_eval": (
        "tasks and groups of lm-eval, such as MMLU-Pro, on an edited model",
        "lm_eval.benchmark:LmEval",
        "lm_eval.options:LmEvalOptions",
        "",
    ),
}


@hookimpl
def harness_components() -> Iterable[Component]:
    """The evaluators."""
    return tuple(
        Component(
            kind="evaluator",
            name=name,
            summary=summary,
            load=f"harness_evaluators.{load}",
            options=f"harness_evaluators.{options}",
            samples=samples,
        )
        for name, (summary, load, options, samples) in _EVALUATORS.items()
    )
