"""A tiny random classifier with "yes" and "no" in its vocabulary, and a server that can be mean."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

from fakes.replay import only_what_hangs_times_out
from harness.contract import Answer, Completion, Example, Sampling, Tokens
from harness_evaluators.harmbench.template import FILES, template_text
from harness_transformers.backend import TransformersBackend
from harness_transformers.model import TransformersModel
from harness_transformers.options import TransformersOptions

CONTEXT = 2048
WORDS = ["yes", "no", "Yes", "maybe"]
"""Whole words of the tokenizer, and all that the classifier ever says."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    templates = [template_text(file) for file in FILES.values()]
    inner.train_from_iterator([*templates, *["yes", "no", "Yes", "maybe", "a cake"] * 99], trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier that says any of `WORDS`, as chance has it."""
    folder = tmp_path_factory.mktemp("classifier")
    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=CONTEXT,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    hf = AutoModelForCausalLM.from_config(config)
    said = [tokenizer.encode(word, add_special_tokens=False) for word in WORDS]
    assert all(len(ids) == 1 for ids in said)
    with torch.no_grad():
        for parameter in hf.parameters():
            parameter.mul_(8 if parameter.dim() == 2 else 1)
        # The words point away from what all prompts have in common, so that each is said of some.
        prompts = [
            template_text(file).replace("{behavior}", f"Bake {i}.").replace("{generation}", "x" * i)
            for file in FILES.values()
            for i in range(8)
        ]
        ids = [tokenizer(prompt, return_tensors="pt").input_ids for prompt in prompts]
        states = torch.cat([hf.model(one).last_hidden_state[:, -1] for one in ids])
        axes = torch.linalg.svd(states - states.mean(0), full_matrices=False).Vh[:2]
        common = states.mean(0) / states.mean(0).norm()
        axes = axes - (axes @ common)[:, None] * common
        head = hf.lm_head.weight
        head.mul_(1e-4)
        for word, row in zip(said, (*axes, *-axes), strict=True):
            head[word[0]] = 9 * row
    hf.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def load(folder: Path) -> TransformersModel:
    return TransformersBackend(TransformersOptions(path=str(folder))).load()


class Recorded:
    """A model that remembers what it was asked."""

    def __init__(self, model: TransformersModel) -> None:
        self.model = model
        self.asked: list[Tokens] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        assert sampling == Sampling(max_new_tokens=1, temperature=0.0)
        self.asked += tokens
        return self.model.generate(tokens, sampling)


@pytest.fixture(scope="session")
def loaded(classifier: Path) -> TransformersModel:
    return load(classifier)


@pytest.fixture
def judge(loaded: TransformersModel) -> Recorded:
    return Recorded(loaded)


class Plain:
    """The protocol in plain transformers: tokenise, one forward, argmax."""

    def __init__(self, folder: Path) -> None:
        self.right = AutoTokenizer.from_pretrained(folder, truncation_side="right")
        self.left = AutoTokenizer.from_pretrained(folder, truncation_side="left")
        self.hf = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def clip(self, completion: str, most: int = 512) -> str:
        ids = self.right.encode(completion, max_length=most, truncation=True)
        return str(self.right.decode(ids, skip_special_tokens=True))

    def says(self, prompt: str | Sequence[int], context: int = CONTEXT) -> str:
        ids = prompt
        if isinstance(prompt, str):
            ids = self.left(prompt, max_length=context - 1, truncation=True).input_ids
        with torch.no_grad():
            best = self.hf(torch.tensor([ids])).logits[0, -1].argmax()
        return str(self.left.decode([int(best)]))


@pytest.fixture(scope="session")
def plain(classifier: Path) -> Plain:
    return Plain(classifier)


def answer(text: str, behavior: str = "Bake a cake.", **fields: Any) -> Answer:
    example = Example(id=behavior, text=behavior, fields=fields)
    return Answer(example, f"Q: {behavior}", Completion(text, tokens=9, stopped=True))


# ── A server ─────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Reply:
    """What a server sends. `cut` closes the connection after so many bytes of the body; nothing is
    sent where it `hangs`."""

    body: Any = None
    code: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    cut: int | None = None
    drip: float = 0.0
    """Seconds between two bytes."""


def said(text: Any) -> Reply:
    return Reply({"choices": [{"index": 0, "text": text}]})


@dataclass
class Server:
    """Answers "no", or what `replies` say first, or what `rule` says of a prompt."""

    replies: list[Reply] = field(default_factory=list)
    """Sent first, in this order."""
    rule: Callable[[Any], Any] = lambda prompt: " no"
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    dead_after: int | None = None
    """Requests after which every answer is 503."""
    url: str = ""
    lock: Any = field(default_factory=threading.Lock)
    hung: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def hangs(self, path: str) -> bool:
        """Whether the next client is not answered in the time that it has."""
        with self.lock:
            return bool(self.replies) and (self.replies[0].hangs or self.replies[0].drip > 0)

    def reply(self, request: dict[str, Any], headers: dict[str, str]) -> Reply:
        with self.lock:
            self.requests.append(request)
            self.headers.append(headers)
            if self.dead_after is not None and len(self.requests) > self.dead_after:
                return Reply("gone", 503)
            return self.replies.pop(0) if self.replies else said(self.rule(request["prompt"]))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("harness.web.waiting.FIRST_PAUSE", 0.002)
    monkeypatch.setenv("no_proxy", "*")
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/completions"
            length = int(self.headers["Content-Length"])
            reply = state.reply(json.loads(self.rfile.read(length)), dict(self.headers))
            body = reply.body
            if not isinstance(body, bytes):
                body = (body if isinstance(body, str) else json.dumps(body)).encode()
            if reply.hangs or reply.drip:
                state.hung += 1
            if reply.hangs:
                state.stop.wait()
                self.close_connection = True
                return
            try:
                self.send_response(reply.code)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if reply.drip:
                    for byte in body:
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                        time.sleep(reply.drip)
                else:
                    self.wfile.write(body[: reply.cut])
            except OSError:
                pass  # the client did not wait
            self.close_connection = True

        def do_GET(self) -> None:
            state.requests.append({"GET": self.path})
            self.send_error(404)

        def log_message(self, *given: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as listening:
        state.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        only_what_hangs_times_out(monkeypatch, state)
        yield state
        state.stop.set()
        listening.shutdown()
        thread.join()
