"""Judges by rule: a server with the OpenAI protocol, and a model of the task."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness.contract import Completion, Example, ModelFacts, Prompt, Sampling, Tokens

Rule = Callable[[str], str]
"""What is answered to the text of a question: its last message, or the prompt."""


class ChatServer:
    """Answers /v1/chat/completions and /v1/completions by a rule, and keeps what was asked."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.sent: list[tuple[str, dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.sent.append((self.path, request))
                chat = "messages" in request
                said = outer.rule(request["messages"][-1]["content"] if chat else request["prompt"])
                message = {"message": {"role": "assistant", "content": said}}
                choice = {"index": 0, **(message if chat else {"text": said})}
                body = json.dumps({"choices": [choice]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *given: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class RuledModel:
    """A model whose tokens are bytes, and which answers by a rule."""

    def __init__(
        self, rule: Rule, *, context: int | None = None, chat: bool = True, name: str = "weights"
    ) -> None:
        self.rule, self.fingerprint, self.device = rule, name, "cpu"
        self.facts = ModelFacts(layers=1, d_model=1, context=context, chat_template=chat)
        self.asked: list[str] = []
        self.prompts: list[Prompt] = []

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        ids = [byte + 1 for byte in text.encode("utf-8", "replace")]
        return [0, *ids] if special else ids

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(one - 1 for one in ids if one).decode("utf-8", "ignore")

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        self.prompts.append(prompt)
        found = []
        for one in examples:
            ids = tuple(self.encode(one.text))
            found.append(Tokens(one.id, ids, (0, len(ids)), one.text))
        return found

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        context = self.facts.context
        assert context is None or all(
            len(one.ids) + sampling.max_new_tokens <= context for one in tokens
        )
        self.asked += [one.text for one in tokens]
        return [Completion(self.rule(one.text), 1, stopped=True) for one in tokens]
