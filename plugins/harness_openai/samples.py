"""What the laws are tried on: a server on this machine that answers by the protocol."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from harness.contract import Example
from harness.testing import check_backend
from harness_openai.backend import OpenAIBackend
from harness_openai.options import OpenAIOptions

TEXTS = ("A river", "It rises in the hills.", "Ende: Öl")
MODEL = "echo"


def samples(folder: Path) -> Iterator[partial[None]]:
    """Calls of the check on a model behind a server; the server is gone after the last one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    Thread(target=server.serve_forever, daemon=True).start()
    host, port = server.server_address[:2]
    examples = [Example(id=str(number), text=text) for number, text in enumerate(TEXTS)]
    for more in ({}, {"log_probabilities": True}):
        options = OpenAIOptions(server=f"http://{host!s}:{port}", server_model=MODEL, **more)
        yield partial(check_backend, OpenAIBackend(options).load(), examples)


class _Echo(BaseHTTPRequestHandler):
    """Answers with words that depend on the prompt alone."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = json.dumps(asked.get("prompt", asked.get("messages")))
        words = ["one", "two", "three", "four"][: 1 + zlib.crc32(prompt.encode()) % 4]
        kept = words[: asked["max_tokens"]]
        choice: dict[str, Any] = {
            "index": 0,
            "text": " ".join(kept),
            "finish_reason": "stop" if kept == words else "length",
        }
        if "logprobs" in asked:
            choice["logprobs"] = {"tokens": kept, "token_logprobs": [-0.5] * len(kept)}
        if "messages" in asked:
            choice["message"] = {"role": "assistant", "content": choice.pop("text")}
        body = json.dumps(
            {
                "model": asked["model"],
                "choices": [choice],
                "usage": {"prompt_tokens": 1, "completion_tokens": len(kept)},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given: object) -> None:
        """Nothing."""
