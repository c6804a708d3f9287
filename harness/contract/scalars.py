"""Numbers of a prompt's predictions that a path can follow: `harness.contract.paths.PathScalar`.

Each is plain data; torch is imported when one is asked of a model. They are computed in float64,
from logits in at least float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from harness.contract.options import Options
from harness.contract.paths import GradientPath, midpoints
from harness.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from harness.contract.backend import Model
    from harness.contract.gradients import Scalar
    from harness.contract.paths import PathScalar
    from harness.contract.sites import Site
    from harness.contract.values import Tokens

EPSILON = 1e-8
"""What Arditi's refusal score adds to both probabilities."""


@dataclass(frozen=True)
class LogOdds:
    """The log-odds that a prompt is answered with one of some words.

    `log(p + ε) − log(1 − p + ε)`, p the sum of the probabilities of the words as the next token
    after the prompt's last one. In nats, between −18.4 and 18.4 with the ε of Arditi et al., whose
    refusal score this is (METHODS section 2); without bounds where ε is 0.
    """

    words: tuple[str, ...]
    epsilon: float = EPSILON
    on_answer: bool = False

    def on(self, model: Model) -> Scalar:
        """The number, by the model's own tokens for the words."""
        ids = _tokens(model, self.words)

        def log_odds(logits: Tensor, tokens: Tokens) -> Tensor:
            import torch

            told = logits[-1].double().log_softmax(0)
            among = torch.zeros_like(told, dtype=torch.bool)
            among[ids] = True
            minus = told.new_tensor(-math.inf)
            sides = [
                torch.where(kept, told, minus).logsumexp(0) for kept in (among, among.logical_not())
            ]
            if self.epsilon:
                floor = told.new_tensor(math.log(self.epsilon))
                sides = [torch.logaddexp(side, floor) for side in sides]
            return sides[0] - sides[1]

        return log_odds


@dataclass(frozen=True)
class LogitDifference:
    """The logit of one word minus that of another, as the next token after the prompt's last one.

    In nats: the log of the ratio of their probabilities. Without bounds.
    """

    word: str
    other: str
    on_answer: bool = False

    def on(self, model: Model) -> Scalar:
        """The number, by the model's own tokens for the words."""
        first, second = _tokens(model, (self.word, self.other))

        def difference(logits: Tensor, tokens: Tokens) -> Tensor:
            last = logits[-1].double()
            return last[first] - last[second]

        return difference


@dataclass(frozen=True)
class AnswerLogProbability:
    """The log-probability of the answer that a conversation ends with, token by token as written.

    `Σ_t log p(token t | all before it)` over the tokens of the last assistant turn's content, or
    its mean. In nats, at most 0. A prompt without such a turn is refused where it is written;
    ModelError where a backend does not tell where the answer stands.
    """

    per_token: bool = False
    on_answer: bool = True

    def on(self, model: Model) -> Scalar:
        """The number; no word of it depends on the model."""

        def log_probability(logits: Tensor, tokens: Tokens) -> Tensor:
            if tokens.answered is None:
                raise ModelError(
                    f"Document {tokens.example}: its model's backend does not tell where in a"
                    " prompt the answer stands. Allowed: the backend transformers, or another"
                    " scalar."
                )
            begin, end = tokens.answered
            told = logits[begin - 1 : end - 1].double().log_softmax(-1)
            ids = logits.new_tensor(tokens.ids[begin:end]).long()
            each = told.gather(1, ids[:, None]).squeeze(1)
            return each.mean() if self.per_token else each.sum()

        return log_probability


def _tokens(model: Model, words: Sequence[str]) -> list[int]:
    """The one token of each word; ModelError where a word is none, or two are the same."""
    found = [model.encode(word, special=False) for word in words]
    for word, ids in zip(words, found, strict=True):
        if len(ids) != 1:
            parts = ", ".join(repr(model.decode([one])) for one in ids) or "no token"
            raise ModelError(
                f"word {word!r}: the model's tokenizer makes {parts} of it. Allowed: words that are"
                " one token, blanks included. Write the first token of the answer"
            )
    every = [ids[0] for ids in found]
    if len(set(every)) < len(every):
        raise ModelError(
            f"words {', '.join(map(repr, words))}: two of them are the same token. Allowed:"
            " different tokens"
        )
    return every


# ── What a task writes ───────────────────────────────────────────────────────────────────────────

Word = Annotated[str, Field(min_length=1)]
"""A text that is one token of the models, blanks included: " I" is another one than "I"."""


class FollowedOptions(Options):
    """What a task writes about a number to follow, for options of statistics and directions."""

    scalar: Literal["log_odds", "logit_difference", "answer", "answer_per_token"] = "log_odds"
    """Which number: the log-odds that a prompt is answered with one of `words`; the logit of
    `words` minus that of `other`; the log-probability of the answer that each conversation of the
    data ends with, in all or for each token."""
    words: tuple[Word, ...] = ()
    """Of log_odds, the first tokens of answers that show the behaviour, such as "I" for refusals;
    of logit_difference, one word. Each must be one token of the models; " I" is not "I"."""
    other: Word | None = None
    """Of logit_difference, the word that it is held against."""
    epsilon: float = Field(EPSILON, ge=0, le=0.01)
    """Of log_odds, what is added to both probabilities: Arditi's; 0 sets no bound."""
    tokens: Literal["all", "last", "closing", "answer"] = "all"
    """At which tokens the change is written in latents, as in `Stream.tokens`; what is carried at
    all others is counted as the rest."""
    order: Literal["first", "integrated"] = "integrated"
    """Where gradients are taken: at the left side alone (`first`: attribution patching), or along
    the whole path from left to right (`integrated`)."""
    steps: int = Field(10, ge=1, le=200)
    """At how many points of the path, each in the middle of its part; `first` has one."""

    @model_validator(mode="after")
    def _one_number(self) -> FollowedOptions:
        count = len(self.words)
        if self.scalar == "log_odds" and not count:
            raise ValueError('scalar = "log_odds" needs words, such as words = ["I"]')
        if self.scalar == "logit_difference" and (count != 1 or self.other is None):
            raise ValueError(
                'scalar = "logit_difference" needs one word and another, such as words = ["I"] '
                'and other = "Sure"'
            )
        if self.scalar != "logit_difference" and self.other is not None:
            raise ValueError('other belongs to scalar = "logit_difference"; remove it')
        if self.scalar.startswith("answer") and count:
            raise ValueError(
                f'scalar = "{self.scalar}" reads the answers in the data; words would be unused. '
                "Remove them"
            )
        return self

    def number(self) -> PathScalar:
        """The number that is written here."""
        if self.scalar == "log_odds":
            return LogOdds(self.words, self.epsilon)
        if self.scalar == "logit_difference":
            assert self.other is not None, "the validator asks for it"
            return LogitDifference(self.words[0], self.other)
        return AnswerLogProbability(per_token=self.scalar == "answer_per_token")

    def path(self, site: Site) -> GradientPath:
        """The path of the number at a site."""
        points = (0.0,) if self.order == "first" else midpoints(self.steps)
        return GradientPath(site, self.number(), points)
