"""Where an experiment measured nothing: no answers, or no verdicts on them.

A rate of such an arm would be 0 or undefined without anything having been seen. Where a model as
it is says nothing, its prompts are at fault, so the run is invalid; where an edit makes it silent,
that is what the edit does, and a warning tells it. A judge that could tell of nothing in an arm
is at fault wherever it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.contract import Answer
from harness.running.experiments.arms import ArmOutcome
from harness.running.experiments.verdicts import Judged
from harness.task.task import NO_EDIT

_LONGEST = 120
"""Characters of a judge's remark that a message quotes."""


def silent(where: str, outcomes: Sequence[ArmOutcome], *, edited: bool) -> Iterator[str]:
    """What to say of arms in which no completion has an answer.

    `edited`: of the arms with edits, else of the one without. `where` is the place in the task.
    """
    for outcome in outcomes:
        answers = outcome.answers
        if (outcome.planned.direction != NO_EDIT) != edited or not answers:
            continue
        if any(one.completion.text.strip() for one in answers):
            continue
        place = f"{where}, direction {outcome.planned.label}"
        if edited:
            yield f"{place}: {_why_silent(answers)} The edits make the model silent; read samples/."
        else:
            yield (
                f"{place}: {_why_silent(answers)} Allowed: a model that answers at least one "
                f"prompt as it is, or nothing that an edit does can be seen. {_mend(answers)}"
            )


def unjudged(where: str, judged: Judged, outcomes: Sequence[ArmOutcome]) -> Iterator[str]:
    """What to say of scores of which an arm has no valid verdict."""
    for outcome, by_answer in zip(outcomes, judged.verdicts, strict=True):
        verdicts = [verdict for verdict in by_answer if verdict is not None]
        missing = [
            score.name
            for score in judged.scores
            if verdicts
            and not score.partial
            and all(verdict.scores[score.name] is None for verdict in verdicts)
        ]
        if missing:
            scores = f"the score {missing[0]} has" if len(missing) == 1 else (
                f"the scores {', '.join(missing)} have"
            )  # fmt: skip
            remark = verdicts[0].note[:_LONGEST]
            yield (
                f"{where}, evaluator {judged.evaluator}, direction {outcome.planned.label}: "
                f"{scores} no valid verdict: the judge could not tell of any of {len(verdicts)} "
                f"completions. Of the first it says {remark!r}. Allowed: at least one valid "
                "verdict in every arm. Check the judge's model, template and server; its remarks "
                "are in samples/."
            )


def _why_silent(answers: Sequence[Answer]) -> str:
    """That nothing was answered, and how."""
    cut_off = sum(not one.completion.finished for one in answers)
    if not cut_off:
        return f"all {len(answers)} completions are empty."
    if cut_off == len(answers):
        return f"no thought of {len(answers)} came to an end, so there is no answer."
    return (
        f"of {len(answers)} completions {cut_off} end inside a thought, and the answers of the "
        "others are empty."
    )


def _mend(answers: Sequence[Answer]) -> str:
    if any(not one.completion.finished for one in answers):
        return (
            "Raise generation.max_new_tokens; if nothing of it is a thought, set thinking in the "
            "model's table."
        )
    return (
        "Check the view's prompt: its style, its template, and whether it ends where the model's "
        "turn begins."
    )
