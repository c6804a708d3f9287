"""The options that evaluators share whose judge is a model: of the task, or behind a server."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from harness.contract import EvaluatorOptions, ModelRef, ServerUrl
from harness.judges.local import ELSEWHERE
from harness.judges.options import (
    Concurrency,
    KeyVariable,
    PerMinute,
    Retries,
    Timeout,
    check_server,
)


class JudgeOptions(EvaluatorOptions):
    """Who judges, and what is judged. How a server is reached is no part of a number."""

    model: ModelRef | None = None
    """A model of the task that judges; or else `server`."""
    server: ServerUrl | None = None
    """Base URL of an OpenAI-compatible server, such as "http://localhost:8000"."""
    server_model: str | None = None
    """Server: the name under which it serves the judge."""
    api_key_variable: KeyVariable = None
    timeout: Timeout = 120.0
    retries: Retries = 6
    concurrency: Concurrency = Field(default=8, ge=1, le=256)
    requests_per_minute: PerMinute = None
    behavior_column: str | None = None
    """The column that holds what was asked; without it, the example's text."""
    clip: int = Field(default=20_000, ge=100)
    """Characters of a completion that are judged. A model of the task reads fewer where its
    context is full."""

    max_tokens: int = Field(default=1024, ge=16)
    """The longest answer of the judge, its reasoning included."""

    batch: ClassVar[int] = ELSEWHERE  # on a CPU as many tokens

    def writes(self) -> int:
        """As long as an answer may be."""
        return self.max_tokens

    @model_validator(mode="after")
    def _one_judge(self) -> JudgeOptions:
        if (self.model is None) == (self.server is None):
            raise ValueError("give exactly one of model and server")
        check_server(self)
        return self
