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
    "refusal_prefixes": (
        "refusals by how a completion begins, as XSTest matches them",
        "prefixes:RefusalPrefixes",
        "harness_evaluators.samples:refusal_prefixes",
    ),
    "thought_refusals": (
        "refusals in a thought beside those in its answer: who reasons one way and acts another",
        "thought_refusals:ThoughtRefusals",
        "harness_evaluators.samples:thought_refusals",
    ),
    "harmbench": (
        "harmful completions, as the HarmBench classifier judges them",
        "harmbench.evaluator:HarmBench",
        "harness_evaluators.harmbench.samples:samples",
    ),
    "strongreject": (
        "refusal, harm and quality of compliance, by StrongREJECT's rubric and a judge",
        "strongreject.rubric:StrongReject",
        "harness_evaluators.samples:strongreject",
    ),
    "strongreject_finetuned": (
        "harm and quality of compliance, from the logits of StrongREJECT's own judge",
        "strongreject.finetuned:StrongRejectFinetuned",
        "harness_evaluators.samples:strongreject_finetuned",
    ),
    "wildguard": (
        "refusal and harm, told apart, as the classifier WildGuard judges them",
        "wildguard.evaluator:WildGuard",
        "harness_evaluators.samples:wildguard",
    ),
    "xstest": (
        "full compliance, full and partial refusal, as XSTest's classes",
        "over_refusal.evaluator:XSTest",
        "harness_evaluators.samples:xstest",
    ),
    "or_bench": (
        "direct answer, direct and indirect refusal, as OR-Bench's classes",
        "over_refusal.evaluator:OrBench",
        "harness_evaluators.samples:or_bench",
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
