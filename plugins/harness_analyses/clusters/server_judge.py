"""A model behind an OpenAI-compatible chat server as judge. Survives what servers do."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry, Timeout

from harness.errors import UsageError
from harness.text import for_terminal
from harness_analyses.clusters.options import Clusters as Options

_LARGEST = 2**22
"""Bytes of an answer that are read."""
_LONGEST_ASKED = 600.0
"""The longest pause that a server may ask for (Retry-After), in seconds."""
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class ServerJudge:
    """Asks `POST /v1/chat/completions` at temperature 0, several prompts at a time."""

    def __init__(self, given: Options) -> None:
        self._given = given
        self._key = _key(given.api_key_variable)
        self.identity = f"{given.server} {given.server_model} {given.max_tokens}"

    def ask(self, prompts: Sequence[str], keep: Callable[[str, str], None]) -> str | None:
        """Answers until the server cannot be reached any more."""
        given = self._given
        pool = urllib3.PoolManager(
            maxsize=given.concurrency,
            timeout=Timeout(connect=given.timeout, read=given.timeout),
            retries=_Patient(
                total=given.retries,
                allowed_methods=None,  # the same question twice does no harm
                status_forcelist=_AGAIN,
                backoff_factor=1.0,
                backoff_max=60.0,
                backoff_jitter=1.0,
            ),
        )
        stop = Event()
        why: list[str] = []

        def one(prompt: str) -> str:
            if stop.is_set():
                raise _Gone("not asked")
            try:
                return self._once(pool, prompt)
            except _Gone as error:
                why.append(str(error))
                raise
            finally:
                if why:
                    stop.set()

        try:
            with ThreadPoolExecutor(given.concurrency) as workers:
                asked = {workers.submit(one, prompt): prompt for prompt in prompts}
                try:
                    for done in as_completed(asked):
                        if not isinstance(done.exception(), _Gone):
                            keep(asked[done], done.result())
                except BaseException:
                    stop.set()
                    raise
        finally:
            pool.clear()
        return why[0] if why else None

    def _once(self, pool: urllib3.PoolManager, prompt: str) -> str:
        given = self._given
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        wanted = {
            "model": given.server_model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": given.max_tokens,
        }
        deadline = time.monotonic() + given.timeout
        try:
            answer = pool.request(
                "POST",
                f"{given.server}/v1/chat/completions",
                body=json.dumps(wanted).encode(),
                headers=headers,
                redirect=False,
                preload_content=False,
            )
            try:
                body = _body(answer, deadline)
            finally:
                answer.close()
        except MaxRetryError as error:
            raise _Gone(self._quoted(str(error.reason or error))) from None
        except (HTTPError, OSError) as error:
            raise _Gone(self._quoted(str(error))) from None
        if answer.status != 200:
            raise self._refused(answer.status, body)
        return _content(body)

    def _refused(self, status: int, body: bytes) -> UsageError:
        said = f"{status} {self._quoted(body[:300].decode('utf-8', 'replace'))}".strip()
        if status in (401, 403):
            variable = self._given.api_key_variable
            hint = (
                f"Put a key that it takes into the environment variable {variable}."
                if variable
                else "Put its key into an environment variable and name that: api_key_variable."
            )
        else:
            hint = (
                "server must be the address before /v1/chat/completions, and server_model a "
                "model that it serves."
            )
        return UsageError(f"clusters: server {self._given.server}: refused: {said}. {hint}")

    def _quoted(self, text: str) -> str:
        """What a server said, without the key, should it repeat it, and fit for a terminal."""
        return for_terminal(text.replace(self._key, "***") if self._key else text)


class _Gone(Exception):
    """The server gave no answer, however often it was asked."""


class _Patient(Retry):
    """Waits as long as the server asks for, but gives up where that is no pause any more."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Seconds that a Retry-After header asks for."""
        try:
            seconds = super().get_retry_after(response)
        except InvalidHeader:
            return None
        if seconds is not None and seconds > _LONGEST_ASKED:
            raise _Gone(f"answered {response.status} and asks to wait {seconds:.0f} seconds")
        return seconds

    def get_backoff_time(self) -> float:
        """Seconds before the next try where nothing was asked for: urllib3's first pause is 0."""
        return max(1.0, super().get_backoff_time())


def _body(answer: BaseHTTPResponse, deadline: float) -> bytes:
    """All of it: a timeout alone lets a server send one byte a minute."""
    parts: list[bytes] = []
    while part := answer.read1(65536):
        parts.append(part)
        if sum(map(len, parts)) > _LARGEST or time.monotonic() > deadline:
            raise _Gone("the answer did not end")
    return b"".join(parts)


def _content(body: bytes) -> str:
    """The text of a chat completion; "" where the answer is none, which no judge's answer is."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return ""
    return content if isinstance(content, str) else ""


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(
            f"clusters: the environment variable {variable} is not set. It must hold the "
            "server's key; or leave out api_key_variable."
        )
    if not (key.isascii() and key.isprintable()):
        raise UsageError(
            f"clusters: the environment variable {variable} holds no key: a key is one line of "
            "letters, digits and marks."
        )
    return key
