"""Asks a model behind an OpenAI-compatible server, such as vLLM's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from harness.judges.options import ServerOptions
from harness.web import Refused, Unusable, Web, ask_each, key_in

_LARGEST = 2**22
"""Bytes of an answer that are read."""
_Prompt = TypeVar("_Prompt")


@dataclass(frozen=True)
class Endpoint(Generic[_Prompt]):
    """One of the ways in which such a server is asked."""

    path: str
    content: Callable[[_Prompt], Mapping[str, Any]]
    """The part of a request that holds the prompt."""
    read: Callable[[bytes], str]
    """The text in the body of an answer. Raises `harness.web.Unusable` to have it sent again."""


def _completion(body: bytes) -> str:
    try:
        (text,) = [choice["text"] for choice in json.loads(body)["choices"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        text = None
    if not isinstance(text, str):
        raise Unusable("the answer is not one completion")
    return text


def _chat_message(body: bytes) -> str:
    """The text of the message; "" where there is none, which no question allows as answer."""
    try:
        text = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return ""
    return text if isinstance(text, str) else ""


def _turn(body: bytes) -> str:
    """The text of the one message; "" where a judge wrote none, as behind a filter."""
    if body.lstrip().startswith(b"data:"):
        raise Unusable("the server streams its answer; it must send it whole")
    try:
        (text,) = [choice["message"]["content"] for choice in json.loads(body)["choices"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        text = 0
    if not (text is None or isinstance(text, str)):
        raise Unusable("the answer is not one message")
    return text or ""


COMPLETIONS: Endpoint[str | list[int]] = Endpoint(
    "/v1/completions", lambda prompt: {"prompt": prompt}, _completion
)
"""Goes on with a text, or with tokens."""
CHAT: Endpoint[str] = Endpoint(
    "/v1/chat/completions",
    lambda prompt: {"messages": [{"role": "user", "content": prompt}]},
    _chat_message,
)
"""Answers a message."""
TURNS: Endpoint[Sequence[Mapping[str, str]]] = Endpoint(
    CHAT.path, lambda turns: {"messages": list(turns), "stream": False}, _turn
)
"""Answers a conversation: turns with `role` and `content`, such as a system message before. What
is no answer at all is asked for again, so that it is never taken for one."""


def ask_server(
    options: ServerOptions,
    endpoint: Endpoint[_Prompt],
    prompts: Sequence[_Prompt],
    keep: Callable[[int, str], None],
    *,
    max_tokens: int,
    name: str,
) -> None:
    """Asks for the most likely text of at most `max_tokens` tokens after each prompt.

    Sends `options.concurrency` requests at a time, begins no more in a minute than its
    `requests_per_minute`, where it has one, and calls `keep(index, text)`, in this thread,
    for each answer as soon as it is there. The first request that fails for good ends the others;
    its error (`harness.web.Unreachable` or `Refused`) is raised after `keep` was called for
    everything that was answered. Raises UsageError, which begins with `name`, where the
    environment variable of the key holds none.
    """
    key = key_in(options.api_key_variable, name)
    headers = {"Authorization": f"Bearer {key}"} if key else None
    most = getattr(options, "requests_per_minute", None)
    pause = 60 / most if most else 0.0
    web = Web(timeout=options.timeout, retries=options.retries, interval=pause, secret=key)
    url = f"{options.server}{endpoint.path}"
    wanted = {"model": options.server_model, "max_tokens": max_tokens, "temperature": 0}

    def one(prompt: _Prompt) -> str:
        content = {**wanted, **endpoint.content(prompt)}
        return web.post(url, content, _LARGEST, endpoint.read, headers)

    ask_each(web, prompts, one, keep, options.concurrency)


def advice(refused: Refused, options: ServerOptions, endpoint: Endpoint[Any]) -> str:
    """What a person can do about a refusal: about the key, or else about address and model."""
    if refused.status not in (401, 403):
        return (
            f"server must be the address before {endpoint.path}, and server_model a model that it "
            "serves."
        )
    variable = options.api_key_variable
    if variable is None:
        return "Put its key into an environment variable and name that: api_key_variable."
    return f"Put a key that it takes into the environment variable {variable}."
