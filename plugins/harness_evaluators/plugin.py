"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_EVALUATORS = {
    "substrings": (
        "refusals by their wording, and broken text, which wording alone would count",
        "substrings:Substrings",
        "harness_evaluators.samples:substrings",
    ),
    "harmbench": (
        "harmful completions, as the HarmBench classifier judges them",
        "harmbench.evaluator:HarmBench",
        "harness_evaluators.harmbench.samples:samples",
    ),
    "lm_eval": (
        "tasks and groups of lm-eval, such as MMLU-Pro, on an edited model",
        "lm_eval.benchmark:LmEval",
        "harness_evaluators.lm_eval.samples:samples",
    ),
}
"""By name: a summary, the class, and samples; its options are called as it is, with `Options`
behind, and are in the module `options` beside it."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The evaluators."""
    return tuple(_component(name, *given) for name, given in _EVALUATORS.items())


def _component(name: str, summary: str, load: str, samples: str) -> Component:
    where = f"{__package__}.{load}"
    folder, made = where.rpartition(".")[0], load.partition(":")[2]
    options = f"{folder}.options:{made}Options"
    return Component("evaluator", name, summary, where, options, samples=samples)
