"""A local server that replays answers."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Reply:
    """What the server answers; a negative status drops the connection instead."""

    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


class Replay:
    """Answers by path: the replies of a path in their order, the last one for ever."""

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.sent: list[Any] = []
        """What was posted, parsed."""
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
