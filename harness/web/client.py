"""The client: GET, POST and downloads, tried again where that may help."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from threading import Event
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from harness.text import for_terminal
from harness.web.pace import Pace
from harness.web.waiting import (
    LONGEST_ASKED,
    PASSING,
    announce,
    asked_pause,
    listener,
    pause_before,
)

LONGEST_QUOTED = 10_000
"""Bytes of an answer that is no file, of which errors quote the start."""
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_Answer = TypeVar("_Answer")


class Unreachable(Exception):
    """There was no answer that could be used, in `tries` tries; says what happened last."""

    def __init__(self, what: str, tries: int = 1) -> None:
        super().__init__(what)
        self.tries = tries


class Busy(Unreachable):
    """The server asks to wait longer than `LONGEST_ASKED` seconds."""


class Refused(Exception):
    """The server said no (`status`), and would say it again."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status} {body}".strip())
        self.status = status


class Unusable(ValueError):
    """An answer has not the form that it should have; says what is wrong with it."""


class _Failed(Exception):
    """A try failed, and the next one may not; `pause` are the seconds that the server asks for."""

    def __init__(self, what: str, pause: float = 0.0) -> None:
        super().__init__(what)
        self.pause = pause


class _NoRedirect(HTTPRedirectHandler):
    """Leaves a redirection an error: urllib would send the key to wherever the server points."""

    def redirect_request(self, *given: Any) -> None:
        """Gives no request to follow."""


class Web:
    """Asks a service by GET and POST, until there is an answer or it makes no sense to go on.

    A try that times out, breaks off, or is answered 408, 425, 429 or from 500 upwards is made
    again, at most `retries` times, after a pause that grows, or that the server asks for.
    `timeout` are the seconds for connecting, for each silence, and for a whole answer. `interval`
    are the least seconds between two GETs or POSTs, repeated ones included. Redirections are not
    followed, and `secret` (a key that goes out in a header) appears in no error, even where the
    server repeats it. Proxies are those of the environment (`https_proxy`), except for this machine
    itself.

    Every question raises Unreachable where no try brought an answer, and Refused for any other
    status than 2xx. `get` and `post` may be called from several threads.
    """

    def __init__(
        self, *, timeout: float, retries: int, interval: float = 0.0, secret: str | None = None
    ) -> None:
        self._timeout, self._retries, self._secret = timeout, retries, secret
        self._pace = Pace(interval)
        self._stopped = Event()
        self._say = listener()
        self._proxied = build_opener(_NoRedirect)
        self._direct = build_opener(_NoRedirect, ProxyHandler({}))

    def stop(self) -> None:
        """Ends all pauses and tries again nothing more: what is open raises Unreachable."""
        self._stopped.set()

    def get(self, url: str, largest: int, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a page; one of more than `largest` bytes raises Unreachable."""
        return self._answer(_request(url, None, headers), largest, bytes)

    def post(
        self,
        url: str,
        content: Mapping[str, Any],
        largest: int,
        read: Callable[[bytes], _Answer],
        headers: Mapping[str, str] | None = None,
    ) -> _Answer:
        """Sends `content` as JSON, and gives what `read` makes of the body that comes back.

        Where `read` raises Unusable, the question is sent again, as after any try that failed.
        """
        json_only = {"Content-Type": "application/json", "Accept": "application/json"}
        body = json.dumps(content).encode()
        return self._answer(_request(url, body, {**json_only, **(headers or {})}), largest, read)

    def download(self, url: str, target: Path) -> str:
        """Writes a file of any size to `target`; gives the sha256 of what came.

        Follows redirections, since no key goes out, and has no limit for the whole of it: `timeout`
        is for each silence. After an error `target` may hold a part.
        """

        def once() -> str:
            digest = hashlib.sha256()
            with target.open("wb") as file:
                for part in self._parts(_request(url, None, None)):
                    digest.update(part)
                    file.write(part)
            return digest.hexdigest()

        return self._patient(url, once)

    def _answer(self, request: Request, largest: int, read: Callable[[bytes], _Answer]) -> _Answer:
        def once() -> _Answer:
            body = self._once(request, largest)
            try:
                return read(body)
            except Unusable as error:
                raise _Failed(f"{error}: {self._quoted(body)}") from error

        return self._patient(request.full_url, once)

    def _patient(self, url: str, once: Callable[[], _Answer]) -> _Answer:
        failure = _Failed("stopped")
        for attempt in range(self._retries + 1):
            if self._stopped.is_set():
                break
            try:
                return once()
            except _Failed as error:
                failure = error
            if attempt < self._retries:
                pause = max(failure.pause, pause_before(attempt))
                announce(self._say, urlsplit(url).netloc, str(failure), pause)
                self._stopped.wait(pause)
        raise Unreachable(str(failure), self._retries + 1)

    def _once(self, request: Request, largest: int) -> bytes:
        self._pace.turn(self._stopped)
        if self._stopped.is_set():
            raise _Failed("stopped")
        deadline = time.monotonic() + self._timeout
        opener = self._direct if _is_here(request) else self._proxied
        with (
            self._failing(largest, deadline),
            opener.open(request, timeout=self._timeout) as answer,
        ):
            return self._body(answer, largest, deadline)

    def _parts(self, request: Request) -> Iterator[bytes]:
        """What comes, bit by bit; what its reader does in between is not taken for the network."""
        opener = build_opener(*[ProxyHandler({})] * _is_here(request))
        with (
            self._failing(LONGEST_QUOTED, time.monotonic() + self._timeout),
            opener.open(request, timeout=self._timeout) as answer,
        ):
            while part := answer.read1(65536):
                yield part
            if answer.length:
                raise _Failed(f"the connection failed ({answer.length} bytes are missing)")

    @contextmanager
    def _failing(self, largest: int, deadline: float) -> Iterator[None]:
        """Says in one word of ours what the network does."""
        try:
            yield
        except HTTPError as error:
            with error:
                raise self._failure(error, largest, deadline) from None
        except URLError as error:
            raise _Failed(f"cannot be reached ({self._quoted(str(error.reason))})") from None
        except (OSError, HTTPException, UnicodeError) as error:
            what = self._quoted(str(error) or type(error).__name__)
            raise _Failed(f"the connection failed ({what})") from None

    def _body(self, answer: Any, largest: int, deadline: float) -> bytes:
        """All of the body; urllib's timeout alone lets a server send one byte a minute."""
        parts: list[bytes] = []
        size = 0
        while part := answer.read1(65536):
            parts.append(part)
            size += len(part)
            if size > largest:
                raise Unreachable(f"the answer is longer than {largest} bytes")
            if time.monotonic() > deadline:
                raise _Failed(f"the answer did not end within {self._timeout:g} seconds")
        if answer.length:  # what was announced and did not come; `read1` does not tell
            raise _Failed(f"the connection failed ({answer.length} bytes are missing)")
        return b"".join(parts)

    def _failure(self, error: HTTPError, largest: int, deadline: float) -> Exception:
        """What an answer other than 2xx means: another try, no more tries, or a refusal."""
        try:
            body = self._quoted(self._body(error, largest, deadline))
        except (OSError, HTTPException, Unreachable, _Failed):
            body = ""
        if error.code not in PASSING and error.code < 500:
            return Refused(error.code, body)
        what = f"answered {error.code} {body}".strip()
        pause = asked_pause(error.headers.get("Retry-After"))
        if pause > LONGEST_ASKED:
            return Busy(f"{what} and asks to wait {pause:.0f} seconds")
        return _Failed(what, pause)

    def _quoted(self, text: str | bytes) -> str:
        """What a server wrote, without the key, should it repeat it, and fit for a terminal."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        return for_terminal(text.replace(self._secret, "***") if self._secret else text)


def _is_here(request: Request) -> bool:
    return urlsplit(request.full_url).hostname in _HERE


def _request(url: str, body: bytes | None, headers: Mapping[str, str] | None) -> Request:
    return Request(url, body, {"User-Agent": "sae-harness", **(headers or {})})
