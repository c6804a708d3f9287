"""The protocol: what is sent, and what an answer says.

Source: the OpenAI API reference, *Completions* and *Chat completions*; `reasoning_content` and
`reasoning` are what vLLM, SGLang, DeepSeek and OpenRouter call thoughts that they hand over apart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.web import Unusable

PATHS = {"prompt": "/v1/completions", "messages": "/v1/chat/completions"}
"""The endpoint, by the key that holds the prompt."""


class Streamed(Exception):
    """The answer is a stream of events, though none was asked for."""


@dataclass(frozen=True)
class Served:
    """One answer of a server. All its text is hostile."""

    text: str
    reason: str | None
    """Why it ended: `stop`, `length`, `content_filter`, …; None where it does not say."""
    model: str | None
    """What it calls the model."""
    thought: str | None = None
    """What it handed over apart as the model's thought."""
    tokens: int | None = None
    """How many tokens the model wrote."""
    prompt_tokens: int | None = None
    log_probability: float | None = None
    """Sum over the tokens that the model wrote, in nats."""


def path_of(sent: Mapping[str, Any]) -> str:
    """The endpoint that a prompt is sent to."""
    return next(path for key, path in PATHS.items() if key in sent)


def read(body: bytes) -> Served:
    """What an answer says. Unusable where it is none and another try may bring one; Streamed."""
    if body.lstrip()[:5] in (b"data:", b"event"):
        raise Streamed
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise Unusable("the answer is no JSON") from None
    if not isinstance(answer, dict):
        raise Unusable("the answer is no JSON object")
    choices = answer.get("choices")
    if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
        raise Unusable("the answer has no choice")
    choice = choices[0]
    text, thought = _text(choice)
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Served(
        text,
        _word(choice.get("finish_reason")),
        _word(answer.get("model")),
        thought,
        _count(usage.get("completion_tokens")),
        _count(usage.get("prompt_tokens")),
        _log_probability(choice.get("logprobs")),
    )


def _text(choice: Mapping[str, Any]) -> tuple[str, str | None]:
    """What was written, and the thought beside it. A refusal that stands apart is the answer."""
    message = choice.get("message")
    if message is None and isinstance(choice.get("text"), str):
        return choice["text"], None
    if not isinstance(message, dict):
        raise Unusable("the choice is empty")
    thoughts = (message.get(name) for name in ("reasoning_content", "reasoning"))
    thought = next((one for one in thoughts if isinstance(one, str)), None)
    for text in (message.get("content"), message.get("refusal")):
        if isinstance(text, str):
            return text, thought
    if thought is None and choice.get("finish_reason") != "content_filter":
        raise Unusable("the choice is empty")
    return "", thought


def _log_probability(told: Any) -> float | None:
    """The sum of a choice's log-probabilities, in either endpoint's form; None without any."""
    if not isinstance(told, dict):
        return None
    values: Any = told.get("token_logprobs")
    if values is None and isinstance(told.get("content"), list):
        values = [one.get("logprob") if isinstance(one, dict) else None for one in told["content"]]
    return _sum(values) if isinstance(values, list) and values else None


def _sum(values: Sequence[Any]) -> float | None:
    numbers = [one for one in values if isinstance(one, (int, float)) and one == one]
    return float(sum(numbers)) if len(numbers) == len(values) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) else None
