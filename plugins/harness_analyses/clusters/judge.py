"""Asks the judge that the options name, a model of the task or a server, and keeps its answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from harness.contract import Example, Prompt, Tools
from harness.errors import UsageError
from harness.judges.answers import Answers, Reply
from harness.judges.local import ask_in_batches
from harness.judges.server import CHAT, advice, ask_server
from harness.web import Refused, Unreachable
from harness_analyses.clusters.options import ClustersOptions

_ROWS = 8
"""Prompts that a model of the task answers at a time."""


@dataclass(frozen=True)
class AnswerKey:
    """All that a judge's answer depends on. `str` of it is its hash."""

    judge: str
    """The model's fingerprint, or the name of a server's model, wherever the server is."""
    max_tokens: int
    prompt: str
    """The whole question, with the taxonomy and the feature's labels."""

    def __str__(self) -> str:
        text = f"{self.judge} {self.max_tokens}\0{self.prompt}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()


class ClusterJudge:
    """The judge of one task's features: `ask` it, then read with `answer` what it wrote.

    Its answers are kept in `clusters/answers.jsonl` of `tools.cache`, under a hash of judge,
    length of answer, and prompt.
    """

    def __init__(self, given: ClustersOptions, tools: Tools) -> None:
        self._given = given
        self._model = None if given.judge is None else tools.models[given.judge]
        self._known = Answers(tools.cache / "clusters" / "answers.jsonl" if tools.cache else None)

    def answer(self, prompt: str) -> str | None:
        """What it wrote; None where it was not asked, or could not be reached."""
        key = self._key(prompt)
        return self._known[key].answer if key in self._known else None

    def ask(self, prompts: Sequence[str]) -> str | None:
        """Asks for the most likely answer to every prompt that has none yet.

        None when all have one, else why the rest has not. Raises UsageError where a server refuses,
        or its key is missing.
        """
        new = [prompt for prompt in prompts if self.answer(prompt) is None]

        add = self._known.adding(self._model)

        def keep(found: Mapping[int, str]) -> None:
            add({self._key(new[index]): Reply(text) for index, text in found.items()})

        given = self._given
        with closing(self._known):
            if not new:
                return None
            if self._model is not None:
                style = Prompt(style="chat") if self._model.facts.chat_template else Prompt()
                examples = [Example(str(i), prompt) for i, prompt in enumerate(new)]
                tokens = self._model.render(examples, style)
                ask_in_batches(self._model, tokens, keep, max_tokens=given.max_tokens, rows=_ROWS)
                return None
            try:
                most = given.max_tokens
                ask_server(
                    given,
                    CHAT,
                    new,
                    lambda index, text: keep({index: text}),
                    max_tokens=most,
                    name="clusters",
                )
            except Unreachable as error:
                return str(error)
            except Refused as error:
                raise UsageError(
                    f"clusters: server {given.server}: refused: {error}. "
                    f"{advice(error, given, CHAT)}"
                ) from None
        return None

    def _key(self, prompt: str) -> str:
        given = self._given
        judge = f"server {given.server_model}"
        if self._model is not None:
            judge = self._model.fingerprint
        return str(AnswerKey(judge, given.max_tokens, prompt))
