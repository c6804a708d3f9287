"""A model of the task as judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.contract import Model, Sampling, Tokens
from harness_evaluators.harmbench.clipping import Prompt

ROWS = {"cpu": 4}
"""Prompts of a batch: few on a CPU, where a batch that stays in its caches is faster by half."""
ELSEWHERE = 32
"""Prompts of a batch on an accelerator; the model halves what does not fit its memory."""


class LocalJudge:
    """Writes one token after each prompt, greedily."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.identity = model.fingerprint
        self.context = model.facts.context
        self.encode = model.encode
        self.decode = model.decode

    def ask(self, prompts: Sequence[Prompt], keep: Callable[[int, str], None]) -> None:
        """Calls `keep(index, answer)` for each prompt, as soon as it is known."""
        # Prompts of one length need no padding; the longest first, if memory should not suffice.
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids))
        rows = ROWS.get(self._model.device, ELSEWHERE)
        for start in range(0, len(order), rows):
            part = order[start : start + rows]
            tokens = [
                Tokens(str(i), prompts[i].ids, (0, len(prompts[i].ids)), prompts[i].text)
                for i in part
            ]
            answers = self._model.generate(tokens, Sampling(max_new_tokens=1))
            for i, answer in zip(part, answers, strict=True):
                keep(i, answer.text)
