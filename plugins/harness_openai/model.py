"""A model behind a server: what is asked, what comes back, and what is wrong with it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.contract import (
    Completion,
    Example,
    Keep,
    Prompt,
    Sampling,
    ThoughtMarks,
    Tokens,
    WritingModel,
)
from harness.errors import HarnessError, MachineError, ModelError
from harness.store.keys import key_of
from harness.text import for_terminal
from harness.web import Busy, Refused, Unreachable, Web, ask_each, key_in
from harness_openai.options import OpenAIOptions
from harness_openai.prompts import sent_of, written
from harness_openai.protocol import Served, Streamed, path_of, read

_PROTOCOL = 1
"""Raised when the same prompt comes to be asked in another way: old completions are then left."""
_LARGEST = 2**24
"""Bytes of an answer that are read."""
KEPT = "What it has answered is kept"


class ServedModel(WritingModel):
    """Asks a server for completions, several at a time, and hands over each as it comes.

    Greedy is temperature 0 with the task's seed; above it, each row has a seed of its own, made of
    the task's seed and the row. How far a server keeps to a seed is the server's to say.
    An answer that ended at the token limit is not `stopped`. One that the server's filter withheld
    is nobody's answer: it is unfinished, and nobody judges it.
    """

    def __init__(self, options: OpenAIOptions) -> None:
        self.options, self.facts = options, options.describe()
        self.fingerprint = key_of(_PROTOCOL, options.model_dump(mode="json"))
        tags = options.thinking
        self._marks = ThoughtMarks.literal(tags.open, tags.close) if tags is not None else None
        self._usage: Counter[str] = Counter()
        self._withheld = self._uncounted = 0

    @property
    def origin(self) -> Mapping[str, Any]:
        """Which model was asked, and how much in this run; for the provenance."""
        asked = dict(sorted(self._usage.items()))
        name = self.options.reported_as or self.options.server_model
        return {"server_model": self.options.server_model, "reported_as": name, "asked": asked}

    @property
    def notes(self) -> tuple[str, ...]:
        """What of its answers is missing; shown as warnings of the run."""
        found = []
        if self._withheld:
            found.append(
                f"the server's filter withheld {self._withheld} answers. They are counted as "
                "unfinished, and not judged."
            )
        if self._uncounted:
            found.append(
                f"the server does not tell how many tokens {self._uncounted} of its answers have "
                "(usage.completion_tokens): 0 stands there."
            )
        return tuple(found)

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        """Prompts as they are sent."""
        return written(examples, prompt, self.options.where, chat=self.options.chat)

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        """One completion for each prompt, in order."""
        found: dict[int, Completion] = {}
        self.generate_each(tokens, sampling, found.__setitem__)
        return [found[index] for index in range(len(tokens))]

    def generate_each(self, tokens: Sequence[Tokens], sampling: Sampling, keep: Keep) -> None:
        """Asks for all completions, and hands over each as soon as it is there.

        MachineError where the server cannot be reached or gives no answer, after all tries;
        ModelError where it refuses, or answers what is not what was asked for.
        """
        options = self.options
        key = key_in(options.api_key_variable, options.where)
        pause = 60 / options.requests_per_minute if options.requests_per_minute else 0.0
        web = Web(timeout=options.timeout, retries=options.retries, interval=pause, secret=key)
        headers = {"Authorization": f"Bearer {key}"} if key else None

        def ask(one: Tokens) -> tuple[Served, Completion]:
            sent = sent_of(one)
            url, content = f"{options.server}{path_of(sent)}", self._request(one, sent, sampling)
            try:
                answer = web.post(url, content, _LARGEST, read, headers)
            except (Unreachable, Refused, Streamed) as error:
                raise self._failure(error, path_of(sent)) from None
            return answer, self._completion(answer)

        def hand_over(index: int, found: tuple[Served, Completion]) -> None:
            answer, completion = found
            self._count(answer)
            keep(index, completion)

        ask_each(web, tokens, ask, hand_over, options.concurrency)

    def _request(self, one: Tokens, sent: Mapping[str, Any], sampling: Sampling) -> dict[str, Any]:
        options, drawn = self.options, sampling.temperature > 0
        content: dict[str, Any] = {
            **options.request,
            **sent,
            "model": options.server_model,
            options.limit_key: sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "seed": _seed(sampling.seed, one.example) if drawn else sampling.seed,
            "stream": False,
        }
        if drawn and sampling.top_p < 1:
            content["top_p"] = sampling.top_p
        if options.log_probabilities:
            content["logprobs"] = True if "messages" in sent else 1
        return content

    def _completion(self, answer: Served) -> Completion:
        """What was answered; ModelError where it is not what was asked for."""
        options = self.options
        expected = options.reported_as or options.server_model
        if answer.model not in (None, expected):
            name = for_terminal(str(answer.model), 100)
            raise ModelError(
                f"{options.where}: its answer is of {name!r}. Allowed: {expected!r}. {KEPT}. If "
                "that is the model that you mean, write reported_as with this name; else ask for "
                "another server_model."
            )
        if options.log_probabilities and answer.log_probability is None:
            raise ModelError(
                f"{options.where}: its answer has no log-probabilities. Allowed: servers that "
                "offer them. Leave out log_probabilities, or use another server."
            )
        withheld = answer.reason == "content_filter"
        tokens, stopped = answer.tokens or 0, answer.reason not in ("length", "content_filter")
        total = answer.log_probability if options.log_probabilities else None
        if withheld:
            return Completion("", tokens, False, answer.thought or "", False, total)
        if self._marks is not None and answer.thought is None:
            parted = self._marks.part(answer.text)
            text, thought, finished = parted.answer, parted.thought, parted.finished
            return Completion(text, tokens, stopped, thought, finished, total)
        text = answer.text.strip()
        if answer.thought is None:
            return Completion(text, tokens, stopped, log_probability=total)
        finished = stopped or bool(text)
        return Completion(text, tokens, stopped, answer.thought.strip(), finished, total)

    def _count(self, answer: Served) -> None:
        """Notes what an answer cost, and what it does not tell."""
        written, read = answer.tokens or 0, answer.prompt_tokens or 0
        self._usage.update(answers=1, completion_tokens=written, prompt_tokens=read)
        self._withheld += answer.reason == "content_filter"
        self._uncounted += answer.tokens is None

    def _failure(self, error: Exception, path: str) -> HarnessError:
        """What a failure means to a person."""
        options, where = self.options, self.options.where
        again = f"{KEPT}: run the same command again"
        if isinstance(error, Busy):
            return MachineError(f"{where}: {error}. {again} then.")
        if isinstance(error, Unreachable):
            return MachineError(
                f"{where}: {error}; tried {error.tries} times. {again} when it answers."
            )
        if isinstance(error, Streamed):
            return ModelError(
                f"{where}: it streams its answer, though stream = false was sent. Allowed: one "
                f"JSON answer. {KEPT}. Switch streaming off at the server or the proxy before it."
            )
        assert isinstance(error, Refused)
        return ModelError(f"{where}: refused a request: {error}. {_advice(error, options, path)}")


def _advice(refused: Refused, options: OpenAIOptions, path: str) -> str:
    """What a person can do about a refusal."""
    variable = options.api_key_variable
    match refused.status:
        case 401 | 403 if variable is None:
            return "Put its key into an environment variable and name that: api_key_variable."
        case 401 | 403:
            return f"Put a key that it takes into the environment variable {variable}."
        case status if status < 400 or status in (404, 405):
            return (
                f"server must be the address before {path}, and server_model a model that it "
                'serves. Some serve conversations alone: views of style = "chat".'
            )
    return (
        "Allowed: prompts that fit its context with the answer (generation.max_new_tokens), and "
        f"keys of request that it knows. {KEPT}."
    )


def _seed(seed: int, row: str) -> int:
    """A seed for one row, of 31 bits."""
    digest = hashlib.sha256(json.dumps([seed, row]).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
