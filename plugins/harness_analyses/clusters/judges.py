"""Who answers: the shape of a judge, and a model of the task as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from harness.contract import Example, Model, Prompt, Sampling

_ROWS = 8
"""Prompts that a model of the task answers at a time."""


class Judge(Protocol):
    """Answers prompts, the most likely text."""

    identity: str
    """What an answer depends on beside its prompt."""

    def ask(self, prompts: Sequence[str], keep: Callable[[str, str], None]) -> str | None:
        """Calls `keep(prompt, answer)` for each answer as soon as it is there.

        None when all were asked, else why the rest was not. UsageError where the judge refuses.
        """


class LocalJudge:
    """A model of the task; greedy."""

    def __init__(self, model: Model, max_tokens: int) -> None:
        self._model, self._max_tokens = model, max_tokens
        self.identity = f"{model.fingerprint} {max_tokens}"

    def ask(self, prompts: Sequence[str], keep: Callable[[str, str], None]) -> str | None:
        """Answers all of them."""
        style = Prompt(style="chat") if self._model.facts.chat_template else Prompt()
        for start in range(0, len(prompts), _ROWS):
            part = prompts[start : start + _ROWS]
            examples = [Example(str(start + i), prompt) for i, prompt in enumerate(part)]
            tokens = self._model.render(examples, style)
            said = self._model.generate(tokens, Sampling(max_new_tokens=self._max_tokens))
            for prompt, completion in zip(part, said, strict=True):
                keep(prompt, completion.text)
        return None
