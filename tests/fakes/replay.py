"""A local server that replays answers, and clients that a slow machine makes no difference to."""

from __future__ import annotations

import copy
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import Request

import pytest

from harness.web import Web


@dataclass
class Reply:
    """What the server answers; a negative status drops the connection instead, and what `hangs` is
    not answered."""

    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    hangs: bool = False


class Replay:
    """Answers by path: the replies of a path in their order, the last one for ever."""

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.sent: list[Any] = []
        """What was posted, parsed."""
        self.hung = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                outer.sent.append(json.loads(self.rfile.read(length)))
                self.do_GET()

            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                outer.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                known = outer.replies.get(self.path, [Reply("{}", 404)])
                reply = known.pop(0) if len(known) > 1 else known[0]
                if reply.hangs:
                    outer.hung += 1
                    outer.stop.wait()
                    self.close_connection = True
                    return
                outer.stop.wait(reply.delay)
                body = reply.body.encode() if isinstance(reply.body, str) else reply.body
                if reply.status < 0:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body if self.command != "HEAD" else b"")
                except OSError:
                    self.close_connection = True

            def log_message(self, *given: object) -> None:
                """Nothing."""

        self.stop = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def hangs(self, path: str) -> bool:
        return self.replies.get(path, [Reply()])[0].hangs

    def close(self) -> None:
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def pauses_of_web(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A list that takes every pause that `harness.web` asks for; none is made."""
    found: list[float] = []

    class Hurried(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout:
                found.append(timeout)
            return self.is_set()

    for module in ("client", "waiting"):
        monkeypatch.setattr(f"harness.web.{module}.Event", Hurried)
    return found


@dataclass
class Clock:
    """A time that goes on where `harness.web` waits, and nowhere else."""

    now: float = 0.0
    looks: list[float] = field(default_factory=list)
    """What it showed whenever one looked who keeps requests apart: before a wait and after it."""

    @property
    def turns(self) -> list[float]:
        """When each request that is kept apart from the others was let go."""
        return self.looks[1::2]


def clock_of_web(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that `harness.web` goes by from now on: its pauses take no time here."""
    clock, lock = Clock(), threading.Lock()

    class Moved(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            with lock:
                clock.now += timeout or 0.0
            return self.is_set()

    def look() -> float:
        with lock:
            clock.looks.append(clock.now)
            return clock.now

    for module in ("client", "waiting"):
        monkeypatch.setattr(f"harness.web.{module}.Event", Moved)
    monkeypatch.setattr("harness.web.pace.time", SimpleNamespace(monotonic=look))
    return clock


class Hanging(Protocol):
    """A server that leaves some requests without an answer."""

    hung: int
    """How many it has left so."""

    def hangs(self, path: str) -> bool:
        """Whether the next request for a path is one."""
        ...


def only_what_hangs_times_out(monkeypatch: pytest.MonkeyPatch, server: Hanging) -> None:
    """Clients wait for the seconds that they are given where the server hangs, and until the server
    has begun to; for any other answer they wait however long this machine needs for it.

    A time-out of a fraction of a second would else end requests that a busy machine answers later.
    """
    once = Web._once

    def patient(self: Web, request: Request, largest: int) -> bytes:
        hangs, before = server.hangs(urlsplit(request.full_url).path), server.hung
        if not hangs:
            other = copy.copy(self)
            other._timeout = 600.0
            return once(other, request, largest)
        try:
            return once(self, request, largest)
        finally:
            until = time.monotonic() + 600
            while server.hung == before and time.monotonic() < until:
                time.sleep(0.005)

    monkeypatch.setattr(Web, "_once", patient)
