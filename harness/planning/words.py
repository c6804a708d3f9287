"""Whether words that a reduction needs as single tokens are that, as far as files tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from harness.contract import Example, Prompt
from harness.planning.steps import ReductionJob
from harness.task.causes import Misfit
from harness.task.prompts import view_spec

if TYPE_CHECKING:
    from harness.contract import BackendOptions, Reads
    from harness.planning.plan import Plan


def not_one_token(word: str, tokens: int) -> str:
    """What is wrong with a word of several tokens, or of none."""
    return (
        f"{word!r} is {tokens} tokens of its model, and asked for is the probability that it comes "
        "next. Allowed: words of one token, with the blank before them where the model writes one. "
        "Write another word, or only the first token of this one."
    )


def split_words(planned: Plan) -> Iterator[Misfit]:
    """Words of several tokens, of models whose tokenizer is here."""
    for work in planned.passes:
        for job in work.jobs:
            if isinstance(job, ReductionJob) and job.reads.words:
                options = planned.task.models[_model(planned, job.reads)].options
                for word in job.reads.words:
                    tokens = _tokens(options, word)
                    if tokens not in (None, 1):
                        yield Misfit(job.entry, not_one_token(word, tokens or 0), word)


def _model(planned: Plan, reads: Reads) -> str:
    return view_spec(planned.task.spec, reads.streams[0].view).model


def _tokens(options: BackendOptions, word: str) -> int | None:
    """How many tokens a word is; None where no tokenizer is here.

    What it has in common with another text at its ends is what stands around every prompt.
    """
    another = "0" if word != "0" else "1"
    rendered = options.render([Example("", word), Example("", another)], Prompt())
    if rendered is None:
        return None
    mine, other = (one.ids for one in rendered)
    before = _alike(mine, other)
    behind = _alike(mine[before:][::-1], other[before:][::-1])
    return len(mine) - before - behind


def _alike(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    pairs = zip(left, right, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
