"""Tries every task on one question before time is spent on answers."""

from __future__ import annotations

from typing import Any

from harness.errors import DataError
from harness_evaluators.lm_eval.options import LmEvalOptions
from harness_evaluators.lm_eval.tasks import Leaf, blamed


def rehearse(leaf: Leaf, lm: Any, given: LmEvalOptions) -> None:
    """Builds the prompt of one question and scores its right answer; asks the model nothing.

    DataError says which task is at fault and why, before any time is spent on answers.
    """
    task = leaf.task
    template = lm.apply_chat_template if given.apply_chat_template else None
    with blamed(leaf.name, "has a prompt that cannot be written"):
        task.build_all_requests(
            samples=list(leaf.questions[:1]),
            apply_chat_template=given.apply_chat_template,
            fewshot_as_multiturn=given.multiturn,
            chat_template=template,
            tokenizer_name="",
        )
    document = task.instances[0].doc
    if task.OUTPUT_TYPE == "generate_until":
        length = (task.instances[0].args[1] or {}).get("max_gen_toks", lm.max_gen_toks)
        if length >= lm.max_length:
            raise DataError(
                f"lm-eval task {leaf.name}: {length} new tokens leave no room for a prompt in a "
                f"context of {lm.max_length}. Set max_new_tokens."
            )
    replies = {"generate_until": str(task.doc_to_target(document)), "loglikelihood_rolling": -1.0}
    for instance in task.instances:
        instance.resps = [replies.get(instance.request_type, (-1.0, False))]
    with blamed(leaf.name, "fails to score"):
        task.apply_filters()
        filtered = task.instances[0].filtered_resps
        for key in filtered:
            task.process_results(document, [i.filtered_resps[key] for i in task.instances])
    _name_in_errors(task, leaf.name)


def _name_in_errors(task: Any, name: str) -> None:
    """Makes the task's own scoring name it when it raises, as lm-eval's traceback does not."""
    score = task.process_results

    def process_results(document: Any, results: Any) -> Any:
        with blamed(name, "fails to score an answer"):
            return score(document, results)

    task.process_results = process_results
