"""A server whose every answer is hostile: a judge, and a site with labels."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from campaign.strings.hostile import Hostile
from campaign.strings.scene import PLAIN


class Site:
    """Answers with the texts; which ones can be changed between requests."""

    def __init__(self) -> None:
        self.strings: Sequence[Hostile] = ()
        self.asked: list[str] = []
        """The paths of all requests."""
        handler = type("Handler", (_Handler,), {"site": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        # A browser that goes away in the middle is no news.
        self._server.handle_error = lambda *given: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def judged(self, prompt: str) -> str:
        """The text that the prompt carries, which is no verdict; of the first one mostly a yes."""
        for place, one in enumerate(self.strings):
            if one.mark in prompt and (place or f"{PLAIN[3]} say" in prompt):
                return one.text
        return "Yes"

    def page(self, feature: str) -> dict[str, Any]:
        """What Neuronpedia says of a feature."""
        text = self.strings[int(feature) % len(self.strings)].text
        activation = {"tokens": [text, "b"], "values": [1.0, 0.0], "maxValue": 1.0}
        about = {"description": text, "typeName": text, "explanationModelName": text}
        return {"index": feature, "explanations": [about], "activations": [activation],
                "pos_str": [text], "pos_values": [1.0]}  # fmt: skip


@contextmanager
def serving() -> Iterator[Site]:
    """The site, as long as it is needed."""
    site = Site()
    try:
        yield site
    finally:
        site.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.site.asked.append(self.path)
        if not self.path.endswith("/v1/completions"):  # a browser reports home
            self._send({}, 404)
            return
        content = json.loads(body)
        choice = {"index": 0, "finish_reason": "stop", "logprobs": None,
                  "text": self.site.judged(content["prompt"])}  # fmt: skip
        self._send({"id": "1", "object": "text_completion", "created": 1, "choices": [choice],
                    "model": self.site.strings[0].text, "usage": {}})  # fmt: skip

    def do_GET(self) -> None:
        self.site.asked.append(self.path)
        if self.path.startswith("/api/feature/"):
            self._send(self.site.page(self.path.rpartition("/")[2]))
        elif self.path == "/v1/models":
            self._send({"object": "list", "data": [{"id": "judge", "object": "model"}]})
        else:
            self._send({"error": self.site.strings[0].text}, 404)

    def _send(self, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given: object) -> None:
        """Nothing."""
