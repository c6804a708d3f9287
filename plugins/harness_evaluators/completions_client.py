"""Asks an OpenAI-compatible server for one token. Survives what servers do."""

from __future__ import annotations

import http.client
import json
import random
import time
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from harness.errors import MachineError, UsageError
from harness.text import for_terminal

LARGEST = 2**20
"""Bytes of an answer that are read: one token needs far fewer."""
FIRST_PAUSE = 1.0
"""Seconds before the first retry; each further pause is twice as long, with jitter."""
LONGEST_PAUSE = 60.0
LONGEST_ASKED = 600.0
"""The longest pause that a server may ask for (Retry-After)."""
_AGAIN = {408, 425, 429}


class _Failed(Exception):
    """A request that may succeed when it is sent again; `pause` is what the server asked for."""

    def __init__(self, what: str, pause: float = 0.0) -> None:
        super().__init__(what)
        self.pause = pause


class _NoRedirect(HTTPRedirectHandler):
    """urllib would send the key along to wherever the server points."""

    def redirect_request(self, *given: Any) -> None:
        """Follows nothing: the redirection becomes an HTTPError."""


class CompletionsClient:
    """`complete` may be called from several threads."""

    def __init__(
        self,
        server: str,
        model: str,
        *,
        key: str | None = None,
        variable: str | None = None,
        timeout: float = 60.0,
        retries: int = 6,
    ) -> None:
        self._server = server
        self._model = model
        self._key = key
        self._variable = variable
        self._timeout = timeout
        self._retries = retries
        self._opener = build_opener(_NoRedirect)

    def complete(self, prompt: str | list[int], stop: Event | None = None) -> str:
        """The text of the most likely next token.

        Raises MachineError when the request failed too often, or `stop` was set meanwhile, and
        UsageError when the server refuses it.
        """
        stop = stop or Event()
        failed = _Failed("stopped")
        for attempt in range(self._retries + 1):
            if stop.is_set():
                break
            try:
                return self._once(prompt)
            except _Failed as error:
                failed = error
            if attempt < self._retries:
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt) * random.uniform(0.5, 1.5)
                stop.wait(max(failed.pause, pause))
        raise MachineError(
            f"server {self._server}: {failed}; tried {self._retries + 1} times. What it has judged "
            "is kept: run the same command again when it answers."
        )

    def _once(self, prompt: str | list[int]) -> str:
        wanted = {"model": self._model, "prompt": prompt, "max_tokens": 1, "temperature": 0}
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        url = f"{self._server}/v1/completions"
        request = Request(url, json.dumps(wanted).encode(), headers)
        deadline = time.monotonic() + self._timeout
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                body = _read(answer, deadline)
        except HTTPError as error:
            with error:
                raise self._refused(error) from None
        except URLError as error:
            raise _Failed(f"cannot be reached ({self._quoted(str(error.reason))})") from None
        except (OSError, http.client.HTTPException) as error:
            what = self._quoted(str(error) or type(error).__name__)
            raise _Failed(f"the connection failed ({what})") from None
        return self._text(body)

    def _text(self, body: bytes) -> str:
        try:
            choices = json.loads(body)["choices"]
            (text,) = [choice["text"] for choice in choices]
            if not isinstance(text, str):
                raise TypeError
        except (ValueError, TypeError, KeyError, RecursionError):
            said = self._quoted(body.decode("utf-8", "replace"))
            raise _Failed(f"the answer is not one completion: {said}") from None
        return text

    def _refused(self, error: HTTPError) -> Exception:
        """What an answer other than 2xx means: try again, or it is the user's to mend."""
        code = error.code
        try:
            body = error.read(LARGEST).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            body = ""
        said = f"{code} {self._quoted(body)}".strip()
        if code in _AGAIN or code >= 500:
            pause = _asked_pause(error.headers.get("Retry-After"))
            if pause <= LONGEST_ASKED:
                return _Failed(f"answered {said}", pause)
            return MachineError(
                f"server {self._server}: answered {said} and asks to wait {pause:.0f} seconds. "
                "What it has judged is kept: run the same command again then."
            )
        if code in (401, 403):
            hint = (
                f"Put a key that it takes into the environment variable {self._variable}."
                if self._variable
                else "Put its key into an environment variable and name that: api_key_variable."
            )
        elif code in (404, 405) or code < 400:
            hint = (
                "server must be the address before /v1/completions, and server_model a model "
                "that it serves."
            )
        else:
            hint = "If the prompt is too long for it, set context to what the classifier can read."
        return UsageError(f"server {self._server}: refused a request: {said}. {hint}")

    def _quoted(self, text: str) -> str:
        """What a server said, without the key, should it repeat it, and fit for a terminal."""
        return for_terminal(text.replace(self._key, "***") if self._key else text)


def _read(answer: Any, deadline: float) -> bytes:
    """The body; urllib's timeout alone lets a server send one byte a minute."""
    parts: list[bytes] = []
    size = 0
    while part := answer.read1(65536):
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            raise _Failed("the answer has no end")
        if time.monotonic() > deadline:
            raise _Failed("the answer did not end in time")
    return b"".join(parts)


def _asked_pause(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, given as seconds or as a date."""
    if header is None:
        return 0.0
    try:
        if header.strip().isdecimal():
            return float(header)
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
