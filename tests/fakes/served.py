"""A server with OpenAI's protocol, written from its public reference, that can be mean."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "acme/chat-7b"
KEY = "sk-very-secret"
REFUSAL = "I'm sorry, but I cannot help with that."
ANSWER = "Sure, here is how it goes."


class Served:
    """Serves one model. What it refuses and what it answers depends on the prompt alone.

    `moods` are what it does wrong, one for each request that comes, until none is left; `always`
    is what it does wrong every time. `asked` has each request: path, headers, content. No request
    is answered before as many as `gather` were open at once.
    """

    def __init__(self, *, key: str | None = None) -> None:
        self.key = key
        self.moods: list[str] = []
        self.always: str | None = None
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.open = self.most = self.hung = 0
        self.pause = 0.0
        self.gather = 0
        self.secretive = False
        self._lock = threading.Condition()
        self.stop = threading.Event()
        handler = type("Handler", (_Handler,), {"served": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def contents(self) -> list[dict[str, Any]]:
        return [content for _, _, content in self.asked]

    def mood(self) -> str | None:
        with self._lock:
            return self.always or (self.moods.pop(0) if self.moods else None)

    def hangs(self, path: str) -> bool:
        with self._lock:
            return (self.always or next(iter(self.moods), None)) == "slow"

    def hang(self) -> None:
        self.hung += 1
        self.stop.wait()

    def count(self, by: int) -> None:
        with self._lock:
            self.open += by
            self.most = max(self.most, self.open)
            self._lock.notify_all()
            self._lock.wait_for(lambda: self.most >= self.gather, 600)

    def close(self) -> None:
        self.stop.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def said(content: dict[str, Any]) -> tuple[str, str]:
    """What the model writes after a prompt, cut at the token limit (a word is a token), and why it
    ended."""
    messages = content.get("messages")
    prompt = messages[-1]["content"] if messages else content["prompt"]
    words = (REFUSAL if "bomb" in prompt else ANSWER).split()
    limit = content.get("max_tokens", content.get("max_completion_tokens"))
    return " ".join(words[:limit]), "stop" if len(words) <= limit else "length"


def answer(content: dict[str, Any], mood: str | None) -> dict[str, Any]:
    """The body of an answer to a request."""
    text, reason = said(content)
    words = text.split()
    choice: dict[str, Any] = {"index": 0, "finish_reason": reason, "logprobs": None}
    wants = content.get("logprobs") and mood != "no logprobs"
    if "messages" in content:
        choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        if mood == "thinks":
            choice["message"] |= {"reasoning_content": " I think. "}
        if mood == "thinks on":
            choice["message"] = {"role": "assistant", "content": None, "reasoning_content": "Hm"}
            choice["finish_reason"] = "length"
        if mood == "refusal apart":
            choice["message"] |= {"content": None, "refusal": REFUSAL}
        if mood == "empty message":
            choice["message"] |= {"content": None}
        if wants:
            choice["logprobs"] = {"content": [{"token": w, "logprob": -0.25} for w in words]}
    else:
        choice["text"] = text
        if wants:
            numbers = [-0.25] * len(words)
            choice["logprobs"] = {"tokens": words, "token_logprobs": numbers, "top_logprobs": None}
    if mood == "filtered":
        choice |= {"finish_reason": "content_filter"}
    found = {
        "id": "cmpl-1",
        "object": "chat.completion" if "messages" in content else "text_completion",
        "created": 1,
        "model": "gpt-else\x1b[2J" if mood == "other model" else content["model"],
        "choices": [] if mood == "no choice" else [choice],
        "usage": {"prompt_tokens": 7, "completion_tokens": len(words), "total_tokens": 9},
    }
    if mood == "no usage":
        found.pop("usage")
    return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Served

    def do_POST(self) -> None:
        served = self.served
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        served.asked.append((self.path, headers, content))
        served.count(1)
        served.stop.wait(served.pause)
        # Before it is answered: whoever has an answer may ask the next question at once.
        served.count(-1)
        try:
            self._answer(content, served.mood())
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        served = self.served
        if self.path != "/v1/models" or served.secretive:
            self._error(404, "Not Found")
        elif served.key is not None and self.headers["Authorization"] != f"Bearer {served.key}":
            self._error(401, "Incorrect API key provided")
        else:
            data = [{"id": MODEL, "object": "model"}, {"id": "evil\x1b[2J"}]
            self._send(200, json.dumps({"object": "list", "data": data}).encode())

    def _answer(self, content: dict[str, Any], mood: str | None) -> None:
        served = self.served
        if served.key is not None and self.headers["Authorization"] != f"Bearer {served.key}":
            self._error(401, f"Incorrect API key provided: {self.headers['Authorization']}")
        elif self.path not in ("/v1/completions", "/v1/chat/completions"):
            self._error(404, "Not Found")
        elif content["model"] != MODEL:
            self._error(404, f"The model `{content['model']}` does not exist.")
        elif ("messages" in content) != self.path.endswith("chat/completions"):
            self._error(400, "prompt and messages are mixed up")
        elif mood == "429":
            self._error(429, "Rate limit reached", {"Retry-After": "1"})
        elif mood == "500":
            self._error(500, "The server had an error")
        elif mood == "too long":
            self._error(400, "This model's maximum context length is 8 tokens.")
        elif mood == "garbage":
            self._send(200, b"{'choices': [<html>")
        elif mood == "cut":
            body = json.dumps(answer(content, None)).encode()
            self._send(200, body[: len(body) // 2], length=len(body))
            self.close_connection = True
        elif mood == "slow":
            served.hang()
        elif mood == "streams":
            events = b'data: {"choices": [{"delta": {"content": "Su"}}]}\n\ndata: [DONE]\n\n'
            self._send(200, events, kind="text/event-stream")
        else:
            self._send(200, json.dumps(answer(content, mood)).encode())

    def _error(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        body = {"error": {"message": message, "type": "error", "param": None, "code": None}}
        self._send(status, json.dumps(body).encode(), headers or {})

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        kind: str = "application/json",
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given: object) -> None:
        """Nothing."""
