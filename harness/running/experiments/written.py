"""How completions are written, whatever they say: length, repetition, and whether they ended.

A model that an edit has broken does not refuse, so a score of refusals alone calls it obedient.
These numbers stand beside the scores of every experiment, and show that it only babbles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from harness.contract import JSON, Answer, Record
from harness.running.experiments.arms import ArmOutcome
from harness.running.experiments.over_prompts import mean_over_prompts

RUN = 4
"""Words of a run."""
_WORD = re.compile(r"\w+(?:['’]\w+)*")


def distinct(text: str) -> float | None:
    """`different runs of 4 words / runs of 4 words`, 0 to 1; 1 where no run comes twice.

    Words are letters and digits, in lower case. None where there are fewer than 4 of them, as in a
    script without blanks. Source: Li et al. 2016, distinct-n, for each text by itself.
    """
    words = _WORD.findall(text.lower())
    runs = list(zip(*(words[start:] for start in range(RUN)), strict=False))
    return len(set(runs)) / len(runs) if runs else None


def written_records(
    outcomes: Sequence[ArmOutcome], axes: Mapping[str, JSON], longest: int, seed: int
) -> Iterator[Record]:
    """For each arm, how its completions are written; `longest` is the limit of their tokens.

    | record | unit | what |
    |---|---|---|
    | `text.tokens@1` | tokens | the mean length, thoughts included |
    | `text.distinct_4@1` | share | `distinct`, the mean over answers of 4 words and more |
    | `text.length_limited@1` | share | completions that the limit ended, and not the model |
    | `unfinished@1` | share | of a reasoning model, completions whose thought never ended |

    All are over all completions but `text.distinct_4@1`, which is over answers. Unfinished thoughts
    have no answer: the rates that evaluators give are over the others.
    """
    thinks = any(one.completion.thought is not None for its in outcomes for one in its.answers)
    for outcome in outcomes:
        answers = outcome.answers
        known: list[tuple[str, str, Sequence[float | None], Mapping[str, JSON]]] = [
            ("text.tokens@1", "tokens", [one.completion.tokens for one in answers], {}),
            ("text.distinct_4@1", "share", [_distinct(one) for one in answers], {}),
            (
                "text.length_limited@1",
                "share",
                [not one.completion.stopped for one in answers],
                {"max_new_tokens": longest},
            ),
        ]
        if thinks:
            cut_off = [not one.completion.finished for one in answers]
            known.append(("unfinished@1", "share", cut_off, {"max_new_tokens": longest}))
        for id, unit, values, options in known:
            why = "no answer has 4 words" if answers else "nothing was asked"
            yield mean_over_prompts(
                id,
                values,
                [one.prompt for one in answers],
                outcome.axes(axes),
                unit=unit,
                options=options,
                seed=seed,
                no_interval="no completions" if not answers else why,
                undefined=outcome.undefined or why,
            )


def _distinct(answer: Answer) -> float | None:
    return distinct(answer.completion.text) if answer.completion.finished else None
