"""What a task may write of a model behind a server. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from harness.contract import (
    WRITES,
    BackendOptions,
    Example,
    ModelFacts,
    ModelPlace,
    Options,
    Prompt,
    ServerUrl,
    Tokens,
    Transport,
)
from harness.judges.options import Concurrency, KeyVariable, PerMinute, Retries, Timeout
from harness_openai.prompts import written

OURS = frozenset(
    {"model", "messages", "prompt", "max_tokens", "max_completion_tokens", "temperature", "top_p",
     "seed", "stream", "n", "logprobs", "top_logprobs"}
)  # fmt: skip
"""What every request says by itself."""


class ThoughtTags(Options):
    """What the model writes around its thoughts, to the letter."""

    open: str = Field(min_length=1)
    """What a thought begins with, such as <think>."""
    close: str = Field(min_length=1)
    """What stands between a thought and the answer, such as </think>."""


class OpenAIOptions(BackendOptions):
    """A model behind a server with OpenAI's protocol: vLLM, llama.cpp, Ollama, a provider.

    Options that change no answer (where the server is, its key, how patiently it is asked) are part
    of no record and no key of what is remembered.
    """

    server: ServerUrl
    """Where the server is, such as "http://localhost:8000"; what stands before /v1."""
    server_model: str = Field(min_length=1)
    """The name under which it serves the model."""
    reported_as: str | None = None
    """What its answers call the model, where that is another name: a dated version of an alias, or
    a file's name. Any other name in an answer ends the run."""
    chat: bool = True
    """Whether it takes conversations; false of a base model, whose views then write plain prompts.
    Views of style `chat` ask /v1/chat/completions, plain ones /v1/completions."""
    request: dict[str, Any] = Field(default_factory=dict)
    """What each request says besides, such as { top_k = 20 }, where the server knows it."""
    thinking: ThoughtTags | None = None
    """What stands around thoughts that it writes into its answers. Those that it hands over apart,
    as reasoning_content or reasoning, need none."""
    log_probabilities: bool = False
    """Whether to ask for the log-probability of each completion; it stands in the samples."""
    limit_key: Annotated[Literal["max_tokens", "max_completion_tokens"], Transport()] = "max_tokens"
    """What its requests call the longest answer; some providers want max_completion_tokens."""
    api_key_variable: KeyVariable = None
    timeout: Timeout = 120.0
    retries: Retries = 6
    concurrency: Concurrency = Field(default=8, ge=1, le=256)
    requests_per_minute: PerMinute = None

    @field_validator("request")
    @classmethod
    def _not_ours(cls, request: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(OURS & set(request)):
            raise ValueError(
                f"{', '.join(taken)}: is set by the harness, from the experiment's `generation` "
                "and the seed. Allowed: any other key that the server knows"
            )
        return request

    @field_validator("api_key_variable")
    @classmethod
    def _a_name(cls, name: str | None) -> str | None:
        # Never quoted: it may be the key itself.
        if name is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ValueError(
                "must be the name of an environment variable, and never the key itself. Allowed: "
                "letters, digits and _, such as OPENAI_API_KEY"
            )
        return name

    @classmethod
    def at(cls, place: str, *, partial: bool = False) -> ModelPlace:
        """A server's address; the model's name a person must add."""
        return ModelPlace({"server": place})

    @property
    def where(self) -> str:
        """How messages name this model."""
        return f"model {self.server_model} at {self.server}"

    def describe(self) -> ModelFacts:
        """It answers, and nothing else is known of it."""
        return ModelFacts(chat_template=self.chat, capabilities=WRITES)

    def names(self) -> tuple[str, ...]:
        """The name under which it is served."""
        return (self.server_model,)

    def render(self, examples: Sequence[Example], prompt: Prompt) -> Sequence[Tokens]:
        """The prompts as they will be sent; their bytes stand in the place of tokens."""
        return written(examples, prompt, self.where, chat=self.chat)
