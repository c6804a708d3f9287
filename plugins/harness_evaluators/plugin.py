"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


@hookimpl
def harness_components() -> Iterable[Component]:
    """The evaluators."""
    return (
        Component(
            kind="evaluator",
            name="substrings",
            summary="refusals by their wording, and broken text, which wording alone would count",
            load="harness_evaluators.substrings:Substrings",
            options="harness_evaluators.options:Substrings",
            samples="harness_evaluators.samples:substrings",
        ),
        Component(
            kind="evaluator",
            name="harmbench",
            summary="harmful completions, as the HarmBench classifier judges them",
            load="harness_evaluators.harmbench.evaluator:HarmBench",
            options="harness_evaluators.options:HarmBench",
        ),
        Component(
            kind="evaluator",
            name="lm_eval",
            summary="tasks and groups of lm-eval, such as MMLU-Pro, on an edited model",
            load="harness_evaluators.lm_eval.benchmark:LmEval",
            options="harness_evaluators.lm_eval.options:LmEval",
        ),
    )
