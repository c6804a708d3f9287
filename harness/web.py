"""Reads pages of a public service, as seldom and as patiently as it asks for."""

from __future__ import annotations

import time
from collections.abc import Mapping

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry, Timeout

from harness.text import for_terminal

LONGEST_ASKED = 600.0
"""The longest pause, in seconds, that a server may ask for (Retry-After) and is waited for."""
FIRST_PAUSE = 1.0
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class Unreachable(Exception):
    """No answer, however often it was asked: says what happened last."""


class Refused(Exception):
    """An answer that asking again does not change."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status} {said}".strip())
        self.status = status


class _Patient(Retry):
    """Waits as long as the server asks for, but gives up where that is no pause any more."""

    def get_backoff_time(self) -> float:
        """Seconds before the next try where nothing was asked for: urllib3's first pause is 0."""
        return max(FIRST_PAUSE, super().get_backoff_time())

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Seconds that a Retry-After header asks for. Unreachable where it is too long."""
        try:
            seconds = super().get_retry_after(response)
        except InvalidHeader:
            return None
        if seconds is not None and seconds > LONGEST_ASKED:
            raise Unreachable(f"answered {response.status} and asks to wait {seconds:.0f} seconds")
        return seconds


class Web:
    """Follows no redirection, so that a key goes nowhere else. One question at a time."""

    def __init__(self, *, timeout: float, retries: int, interval: float = 0.0) -> None:
        self._timeout, self._interval = timeout, interval
        self._next = 0.0
        self._pool = urllib3.PoolManager(
            timeout=Timeout(connect=timeout, read=timeout),
            retries=_Patient(
                total=retries,
                status_forcelist=_AGAIN,
                backoff_factor=FIRST_PAUSE,
                backoff_max=60.0,
                backoff_jitter=1.0,
            ),
        )

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.clear()

    def get(self, url: str, largest: int, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a page of at most `largest` bytes.

        Raises Refused where the answer is not 200, Unreachable where there is none after all tries.
        """
        for last in (False, True):
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next = time.monotonic() + self._interval
            try:
                return self._once(url, largest, {"User-Agent": "sae-harness", **(headers or {})})
            except MaxRetryError as error:
                raise Unreachable(for_terminal(str(error.reason or error))) from None
            except (HTTPError, OSError) as error:  # the connection broke inside the body
                if last:
                    raise Unreachable(for_terminal(str(error))) from None
        raise AssertionError("two tries end in an answer or an error")

    def _once(self, url: str, largest: int, headers: Mapping[str, str]) -> bytes:
        deadline = time.monotonic() + self._timeout
        answer = self._pool.request(
            "GET", url, headers=headers, redirect=False, preload_content=False
        )
        try:
            body = self._body(answer, largest, deadline)
        finally:
            answer.close()  # also where it was not read to its end
        if answer.status != 200:
            raise Refused(answer.status, for_terminal(body[:300].decode("utf-8", "replace")))
        return body

    def _body(self, answer: BaseHTTPResponse, largest: int, deadline: float) -> bytes:
        """All of it: a timeout alone lets a server send one byte a minute."""
        parts: list[bytes] = []
        size = 0
        while part := answer.read1(65536):
            parts.append(part)
            size += len(part)
            if size > largest:
                raise Unreachable(f"the answer is longer than {largest} bytes")
            if time.monotonic() > deadline:
                raise Unreachable(f"the answer did not end within {self._timeout:g} seconds")
        return b"".join(parts)
