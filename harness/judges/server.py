"""A classifier behind an OpenAI-compatible completions server as judge, such as vLLM's."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from functools import cached_property
from threading import Event
from typing import Any

from harness.errors import ModelError, UsageError
from harness_evaluators.completions_client import CompletionsClient
from harness_evaluators.harmbench.clipping import Prompt
from harness_evaluators.options import HarmBench

_NO_LIMIT = 10**6
"""Tokenizers that know no longest text say so with a huge number."""


class ServerJudge:
    """Asks a server for one token after each prompt, several prompts at a time."""

    def __init__(self, options: HarmBench) -> None:
        assert options.server is not None
        self._options = options
        # The address too: another server may serve another model under the same name.
        self.identity = f"{options.server} {options.server_model} {options.tokenizer}"

    @property
    def context(self) -> int | None:
        """The longest prompt, as far as the tokenizer knows."""
        longest = int(self._tokenizer.model_max_length)
        return longest if longest < _NO_LIMIT else None

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The tokens of a text, with or without those that the tokenizer puts around it."""
        ids = self._tokenizer(text, add_special_tokens=special, verbose=False).input_ids
        return [int(token) for token in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without special ones."""
        text = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)

    def ask(self, prompts: Sequence[Prompt], keep: Callable[[int, str], None]) -> None:
        """Calls `keep(index, answer)` for each prompt, as soon as it is known.

        Raises MachineError when a request failed too often and UsageError when the server refuses
        one; `keep` has then been called for everything that was answered.
        """
        client = self._client()
        stop = Event()
        failures: list[BaseException] = []

        def one(prompt: Prompt) -> str:
            try:
                return client.complete(_sent(prompt), stop)
            except BaseException as error:
                failures.append(error)  # the first one is the reason, the others were stopped
                stop.set()
                raise

        with ThreadPoolExecutor(self._options.concurrency) as pool:
            asked: dict[Future[str], int] = {}
            kept: set[int] = set()
            try:
                for index, prompt in enumerate(prompts):
                    asked[pool.submit(one, prompt)] = index
                for future in as_completed(asked):
                    answer = future.result()
                    kept.add(asked[future])
                    keep(asked[future], answer)
            except BaseException as error:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                for future, index in asked.items():
                    done = future.done() and not future.cancelled() and not future.exception()
                    if done and index not in kept:
                        keep(index, future.result())
                raise (failures[0] if error in failures else error) from None

    def _client(self) -> CompletionsClient:
        options = self._options
        variable, key = options.api_key_variable, None
        if variable is not None:
            key = os.environ.get(variable, "").strip()
            if not key:
                raise UsageError(
                    f"harmbench: the environment variable {variable} is not set. "
                    "It must hold the server's key; or leave out api_key_variable."
                )
            if not (key.isascii() and key.isprintable()):
                raise UsageError(
                    f"harmbench: the environment variable {variable} holds no key: "
                    "a key is one line of letters, digits and marks."
                )
        return CompletionsClient(
            str(options.server),
            str(options.server_model),
            key=key,
            variable=variable,
            timeout=options.timeout,
            retries=options.retries,
        )

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        where = self._options.tokenizer
        try:
            return AutoTokenizer.from_pretrained(where)
        except Exception as error:  # transformers raises anything on files that it cannot use
            said = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
            raise ModelError(
                f"harmbench: tokenizer {where}: transformers cannot load it ({said}). "
                "Allowed: the folder or hub id of the classifier's own tokenizer."
            ) from None


def _sent(prompt: Prompt) -> str | list[int]:
    """Text, to which the server's tokenizer adds the start token; tokens where some were cut."""
    return list(prompt.ids) if prompt.cut else prompt.text
