"""One patient HTTP client: asks again where that may help, and keeps keys to itself."""

from __future__ import annotations

import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from threading import Event
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from harness.errors import HarnessError, MachineError
from harness.text import for_terminal

LONGEST_ASKED = 600.0
"""The longest pause, in seconds, that a server may ask for (Retry-After) and is waited for."""
FIRST_PAUSE = 1.0
"""Seconds before the first retry; each further pause is twice as long, and a bit more by chance."""
LONGEST_PAUSE = 60.0
WORTH_TELLING = 4.0
"""Pauses that are shorter, in seconds, are made without a word."""
LONGEST_TOLD = 10_000
"""Bytes of an answer that is no file, of which errors quote the start."""
_PASSING = frozenset({408, 425, 429})
"""Statuses below 500 that another try may change."""
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_BROKEN = frozenset(
    {"TransportError", "ChunkedEncodingError", "ProtocolError", "ClientError", "ConnectionError",
     "TimeoutError", "Timeout", "gaierror"}
)  # fmt: skip
"""What Python and HTTP clients of any version call a connection that failed, or what is above it.
"""
_Answer = TypeVar("_Answer")
_say: ContextVar[Callable[[str], None]] = ContextVar("_say", default=lambda text: None)


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
    are the least seconds between two GETs. Redirections are not followed, and `secret` (a key that
    goes out in a header) appears in no error, even where the server repeats it. Proxies are those
    of the environment (`https_proxy`), except for this machine itself.

    Every question raises Unreachable where no try brought an answer, and Refused for any other
    status than 2xx. `post` may be called from several threads, `get` from one at a time.
    """

    def __init__(
        self, *, timeout: float, retries: int, interval: float = 0.0, secret: str | None = None
    ) -> None:
        self._timeout, self._retries, self._secret = timeout, retries, secret
        self._interval, self._next = interval, 0.0
        self._stopped = Event()
        self._say = _say.get()
        self._proxied = build_opener(_NoRedirect)
        self._direct = build_opener(_NoRedirect, ProxyHandler({}))

    def stop(self) -> None:
        """Ends all pauses and tries again nothing more: what is open raises Unreachable."""
        self._stopped.set()

    def get(self, url: str, largest: int, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a page; one of more than `largest` bytes raises Unreachable."""
        self._stopped.wait(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + self._interval
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
                pause = max(failure.pause, _pause(attempt))
                _tell(self._say, urlsplit(url).netloc, str(failure), pause)
                self._stopped.wait(pause)
        raise Unreachable(str(failure), self._retries + 1)

    def _once(self, request: Request, largest: int) -> bytes:
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
            self._failing(LONGEST_TOLD, time.monotonic() + self._timeout),
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
        if error.code not in _PASSING and error.code < 500:
            return Refused(error.code, body)
        what = f"answered {error.code} {body}".strip()
        pause = _asked_pause(error.headers.get("Retry-After"))
        if pause > LONGEST_ASKED:
            return Busy(f"{what} and asks to wait {pause:.0f} seconds")
        return _Failed(what, pause)

    def _quoted(self, text: str | bytes) -> str:
        """What a server wrote, without the key, should it repeat it, and fit for a terminal."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        return for_terminal(text.replace(self._secret, "***") if self._secret else text)


@contextmanager
def telling(say: Callable[[str], None]) -> Iterator[None]:
    """In the block, whoever waits for a server says so in a line: what asks, and for how long."""
    before = _say.set(say)
    try:
        yield
    finally:
        _say.reset(before)


def patiently(ask: Callable[[], _Answer], what: str, retries: int = 5) -> _Answer:
    """What a library's function gives that asks a server; asked again while that is busy.

    An error that was answered 408, 425, 429 or from 500 upwards is waited for, as `Web` does and
    as long as the server asks; after `retries` it is raised, as any other is at once.
    """
    for attempt in range(retries):
        try:
            return ask()
        except Exception as error:
            response = response_of(error)
            status = getattr(response, "status_code", 0)
            if status not in _PASSING and status < 500:
                raise
            asked = _asked_pause(response.headers.get("Retry-After"))
            if asked > LONGEST_ASKED:
                raise
        pause = max(asked, _pause(attempt))
        _tell(_say.get(), what, f"answered {status}", pause)
        Event().wait(pause)
    return ask()


def hub_error(
    error: BaseException,
    where: str,
    repo: str,
    refused: type[HarnessError],
    *,
    dataset: bool = False,
) -> HarnessError | None:
    """What an error of Hugging Face's libraries means to a person, in a message about `where`.

    MachineError (a rerun may do) for a hub that cannot be reached, breaks off or is busy;
    `refused`, the user's, for a token that is not accepted, a gate, and offline mode; None for
    what is about the names: a repository, revision or file that is not there.
    """
    errors = list(chain(error))
    kinds = {kind.__name__ for one in errors for kind in type(one).__mro__}
    response = response_of(error)
    status = getattr(response, "status_code", 0)
    code = response.headers.get("X-Error-Code") if response is not None else None
    said = for_terminal((str(error).strip() or type(error).__name__).splitlines()[0], 200)
    elsewhere = (
        f"run `hf download {repo}{' --repo-type dataset' * dataset}` where there is one, or give "
        "local files"
    )
    if "GatedRepoError" in kinds or status == 403:
        return refused(
            f"{where}: {repo} is gated, and your login may not read it. Accept its licence at "
            f"https://huggingface.co/{'datasets/' * dataset}{repo}, then run `hf auth login`."
        )
    if status == 401 and code != "RepoNotFound" and (token := _token_place()):
        return refused(
            f"{where}: the hub refuses the token for {repo}. It comes from {token}. Log in anew "
            "with `hf auth login`, or take the token away: what is public needs none."
        )
    # `datasets` quotes what it was without keeping it.
    if "OfflineModeIsEnabled" in kinds or "offline mode is enabled" in str(error):
        return refused(
            f"{where}: not in the local cache, and HF_HUB_OFFLINE is set, so it is not fetched. "
            f"Unset it, {elsewhere}."
        )
    if status in _PASSING or status >= 500:
        return MachineError(
            f"{where}: the hub answers {status} for {repo}, and did so each time it was asked. Run "
            "the same command again later: it goes on from what is there."
        )
    if kinds & _BROKEN:
        return MachineError(
            f"{where}: the hub cannot be reached, or the download of {repo} broke off ({said}). "
            "Run the same command again: it goes on from what is there. Where there is no network, "
            f"{elsewhere}."
        )
    return None


def _token_place() -> str | None:
    """Where the hub's libraries take their token from; never the token itself."""
    from huggingface_hub.constants import HF_TOKEN_PATH

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name, "").strip():
            return f"the environment ({name})"
    return HF_TOKEN_PATH if Path(HF_TOKEN_PATH).is_file() else None


def response_of(error: BaseException) -> Any:
    """The answer of a server that an error is about, or one that it came from; None without one."""
    return next((r for one in chain(error) if (r := getattr(one, "response", None))), None)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it came from, and so on."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _tell(say: Callable[[str], None], where: str, what: str, pause: float) -> None:
    if pause >= WORTH_TELLING:
        say(for_terminal(f"{where}: {what}. Asked again in {pause:.0f} s; Ctrl-C ends the run."))


def _pause(attempt: int) -> float:
    """Seconds before the next try where the server asks for none."""
    # Past 2^6 every pause is the longest one.
    return min(LONGEST_PAUSE, FIRST_PAUSE * (2.0 ** min(attempt, 6) + random.random()))


def _is_here(request: Request) -> bool:
    return urlsplit(request.full_url).hostname in _HERE


def _request(url: str, body: bytes | None, headers: Mapping[str, str] | None) -> Request:
    return Request(url, body, {"User-Agent": "sae-harness", **(headers or {})})


def _asked_pause(header: str | None) -> float:
    """Seconds that a Retry-After header asks for, given as seconds or as a date; 0 for neither."""
    if header is None:
        return 0.0
    try:
        if header.strip().isdecimal():
            return float(header)
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
