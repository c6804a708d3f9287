"""How judges are asked, here and behind a server, and how their answers are kept."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import Field, ValidationError, model_validator

from fakes.replay import Replay, Reply, clock_of_web, pauses_of_web
from harness.contract import Completion, Options, Sampling, ServerUrl, Tokens
from harness.errors import MachineError, UsageError
from harness.judges.answers import Answers, Reply as Answer
from harness.judges.local import (
    ELSEWHERE,
    HELD,
    LEAST,
    MOST,
    READ,
    ask_in_batches,
    ask_model,
    rows_of,
)
from harness.judges.options import (
    Concurrency,
    KeyVariable,
    PerMinute,
    Retries,
    Timeout,
    check_server,
)
from harness.judges.server import CHAT, COMPLETIONS, Endpoint, advice, ask_server
from harness.store.lines import Lines
from harness.store.notes import hearing
from harness.web import Refused, Unreachable


class Given(Options):
    """Options of something that may have a judge."""

    server: ServerUrl | None = Field(default=None, exclude=True)
    """The server."""
    server_model: str | None = None
    """Its model."""
    tokenizer: str | None = None
    """Its tokenizer."""
    api_key_variable: KeyVariable = None
    timeout: Timeout = 60.0
    retries: Retries = 2
    concurrency: Concurrency = Field(default=1, ge=1)
    requests_per_minute: PerMinute = None

    @model_validator(mode="after")
    def _server(self) -> Given:
        check_server(self, "tokenizer")
        return self


@pytest.fixture
def replay() -> Iterator[Replay]:
    server = Replay()
    yield server
    server.close()


def chat(text: Any) -> Reply:
    return Reply(json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}))


def completion(text: Any) -> Reply:
    return Reply(json.dumps({"choices": [{"index": 0, "text": text}]}))


def asked(
    replay: Replay, endpoint: Endpoint[Any], prompts: Sequence[Any], *replies: Reply, **more: Any
) -> dict[int, str]:
    replay.replies[endpoint.path] = list(replies)
    given = Given(server=replay.url, server_model="m", tokenizer="t", **more)
    found: dict[int, str] = {}
    try:
        ask_server(given, endpoint, prompts, found.__setitem__, max_tokens=9, name="acme")
    except (Unreachable, Refused) as error:
        error.found = found  # type: ignore[union-attr]
        raise
    return found


# ── Options ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"server": "http://x"}, "server needs server_model"),
        ({"server": "http://x", "server_model": "m"}, "server needs tokenizer"),
        ({"server_model": "m"}, "server_model belongs to server, and there is none"),
        ({"tokenizer": "t", "retries": 3}, "tokenizer belongs to server"),
        ({"retries": 3}, "retries belongs to server"),
        ({"timeout": 0}, "greater than 0"),
        ({"retries": -1}, "greater than or equal to 0"),
        ({"concurrency": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_do_not_fit(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Given(**given)


def test_what_changes_no_answer_is_not_dumped() -> None:
    dumped = Given(server="http://x", server_model="m", tokenizer="t", api_key_variable="K")
    assert dumped.model_dump() == {"server_model": "m", "tokenizer": "t"}
    assert all(field.description for field in Given.model_fields.values())


# ── A server ─────────────────────────────────────────────────────────────────────────────────────


def test_the_two_endpoints(replay: Replay) -> None:
    common = {"model": "m", "max_tokens": 9, "temperature": 0}
    assert asked(replay, COMPLETIONS, ["a", [1, 2]], completion("x")) == {0: "x", 1: "x"}
    assert replay.sent == [{**common, "prompt": "a"}, {**common, "prompt": [1, 2]}]
    replay.sent.clear()
    assert asked(replay, CHAT, ["a"], chat("y")) == {0: "y"}
    assert replay.sent == [{**common, "messages": [{"role": "user", "content": "a"}]}]


@pytest.mark.parametrize("body", ["", "[]", '{"choices": []}', '{"choices": [{"text": 3}]}'])
def test_a_malformed_completion_is_asked_for_again_and_a_chat_message_is_empty(
    replay: Replay, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(replay, CHAT, ["a"], Reply(body)) == {0: ""}
    assert len(replay.asked) == 1
    pauses = pauses_of_web(monkeypatch)
    assert asked(replay, COMPLETIONS, ["a"], Reply(body), completion("x")) == {0: "x"}
    assert len(pauses) == 1
    with pytest.raises(Unreachable, match="not one completion"):
        asked(replay, COMPLETIONS, ["a"], Reply(body))


def test_each_answer_goes_to_its_question(replay: Replay) -> None:
    prompts = [f"{n}" for n in range(30)]
    replies = [Reply(chat("same").body, delay=0.01 * (n % 3)) for n in range(30)]
    found = asked(replay, CHAT, prompts, *replies, concurrency=7)
    assert found == dict.fromkeys(range(30), "same")
    assert sorted(sent["messages"][0]["content"] for sent in replay.sent) == sorted(prompts)


@pytest.mark.slow
def test_no_more_requests_are_begun_in_a_minute_than_agreed(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.monotonic()
    asked(replay, CHAT, list("abcdef"), chat("x"), concurrency=6, requests_per_minute=600)
    assert time.monotonic() - begun > 0.45
    clock = clock_of_web(monkeypatch)
    asked(replay, CHAT, list("abcdef"), chat("x"), concurrency=6)
    assert clock.now == 0
    asked(replay, CHAT, list("abcdef"), chat("x"), concurrency=6, requests_per_minute=6)
    assert clock.turns == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize(("status", "error"), [(400, Refused), (503, Unreachable)])
def test_a_failure_ends_the_rest_and_keeps_what_was_answered(
    replay: Replay, status: int, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses_of_web(monkeypatch)
    with pytest.raises(error, match=f"{status} no") as caught:
        asked(replay, CHAT, list("abcdef"), chat("x"), chat("y"), Reply("no", status))
    assert caught.value.found == {0: "x", 1: "y"}  # type: ignore[attr-defined]
    assert len(replay.asked) == 2 + (1 if status == 400 else 3)


def test_a_failure_does_not_wait_for_the_pauses_of_others(replay: Replay) -> None:
    slow = Reply("slow", 429, {"Retry-After": "500"})
    start = time.monotonic()
    with pytest.raises(Refused, match="400"):
        asked(replay, CHAT, ["a", "b"], slow, Reply("no", 400, delay=0.3), concurrency=2)
    assert time.monotonic() - start < 400


def test_an_interrupt_keeps_what_was_answered(replay: Replay) -> None:
    replay.replies[CHAT.path] = [chat("x")]
    given = Given(server=replay.url, server_model="m", tokenizer="t", concurrency=2)
    found: dict[int, str] = {}

    def keep(index: int, text: str) -> None:
        found[index] = text
        if len(found) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask_server(given, CHAT, ["a"] * 50, keep, max_tokens=1, name="acme")
    assert 3 <= len(replay.asked) <= 50
    assert len(found) == len(replay.asked)


@pytest.mark.parametrize("value", [None, "", " \n", "two\nlines", "schlüssel"])
def test_a_key_that_is_missing_or_none(
    replay: Replay, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("JUDGE_KEY", value)
    message = "acme: the environment variable JUDGE_KEY (is not set|holds no key)"
    with pytest.raises(UsageError, match=message) as caught:
        asked(replay, CHAT, ["a"], chat("x"), api_key_variable="JUDGE_KEY")
    assert not (value or "").strip() or str(value) not in str(caught.value)
    assert not replay.asked


def test_a_key_is_sent_and_not_shown(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", " sk-secret\n")
    asked(replay, CHAT, ["a"], chat("x"), api_key_variable="JUDGE_KEY")
    assert replay.asked[0][1]["authorization"] == "Bearer sk-secret"
    with pytest.raises(Refused, match=r"401 \*\*\* is wrong") as caught:
        asked(replay, CHAT, ["a"], Reply("sk-secret is wrong", 401), api_key_variable="JUDGE_KEY")
    given = Given(server="http://x", server_model="m", tokenizer="t", api_key_variable="JUDGE_KEY")
    assert advice(caught.value, given, CHAT).endswith("environment variable JUDGE_KEY.")
    assert "before /v1/chat/completions" in advice(Refused(404, ""), given, CHAT)
    assert "api_key_variable" in advice(Refused(403, ""), Given(), CHAT)


# ── A model of the task ──────────────────────────────────────────────────────────────────────────


class Model:
    """Repeats a prompt's first token as text."""

    def __init__(self, device: str) -> None:
        self.device, self.facts = device, SimpleNamespace(context=None)
        self.batches: list[list[int]] = []

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        assert sampling == Sampling(max_new_tokens=5)
        self.batches.append([len(one.ids) for one in tokens])
        return [Completion(f"{one.ids[0]}", 1, True) for one in tokens]


@pytest.mark.parametrize(
    ("device", "rows", "expected"), [("cpu", None, MOST), ("cuda", None, ELSEWHERE), ("cpu", 7, 7)]
)  # fmt: skip
def test_a_model_is_asked_in_batches_the_longest_first(
    device: str, rows: int | None, expected: int
) -> None:
    lengths = [1 + (7 * n) % 40 for n in range(40)]
    prompts = [Tokens(f"{n}", (n,) * size, (0, size), "") for n, size in enumerate(lengths)]
    model, found = Model(device), {}
    ask_model(model, prompts, found.__setitem__, max_tokens=5, rows=rows)  # type: ignore[arg-type]
    assert found == {n: f"{n}" for n in range(40)}
    assert [size for batch in model.batches for size in batch] == sorted(lengths, reverse=True)
    assert {len(batch) for batch in model.batches[:-1]} <= {expected}
    assert len(model.batches[0]) == min(expected, 40)


def test_a_batch_has_as_many_prompts_as_fit() -> None:
    for longest in range(0, 9000, 7):
        for written in (1, 2, 32, 1024, 9000):
            rows = rows_of("cpu", longest, written)
            most = READ if written == 1 else HELD
            assert LEAST <= rows <= MOST
            assert rows == LEAST or rows * (longest + (written > 1) * written) <= most
            assert rows == MOST or (rows + 1) * (longest + written) > most
            assert rows >= rows_of("cpu", longest + 1, written)
            assert rows >= rows_of("cpu", longest, written + 1) or written == 1
            assert rows_of("cuda", longest, written) == ELSEWHERE


@pytest.mark.parametrize("seed", range(20))
def test_batches_are_kept_as_they_come_whatever_the_lengths(seed: int) -> None:
    random = Random(seed)
    sizes = [random.choice([1, 3, 90, 2000, 9000]) for _ in range(random.randrange(60))]
    prompts = [Tokens(f"{n}", (n,) * size, (0, size), "") for n, size in enumerate(sizes)]
    model, kept = Model("cpu"), list[dict[int, str]]()

    def keep(found: Mapping[int, str]) -> None:
        assert len(kept) == len(model.batches) - 1, "before the next batch is asked"
        kept.append(dict(found))

    ask_in_batches(model, prompts, keep, max_tokens=5)  # type: ignore[arg-type]
    assert [[sizes[n] for n in some] for some in kept] == model.batches
    assert {n: text for some in kept for n, text in some.items()} == {
        n: f"{n}" for n in range(len(sizes))
    }
    assert sum(map(len, kept)) == len(sizes)
    for batch in model.batches[:-1]:
        assert len(batch) == rows_of("cpu", max(batch), 5)


def test_a_model_that_hands_over_each_answer_is_asked_at_once() -> None:
    class Handing(Model):
        def generate_each(self, tokens: Any, sampling: Sampling, keep: Any) -> None:
            keep(1, self.generate(tokens[1:], sampling)[0])
            raise MachineError("gone")

    prompts = [Tokens(f"{n}", (n,), (0, 1), "") for n in range(9)]
    model, found = Handing("cpu"), {}
    with pytest.raises(MachineError, match="gone"):
        ask_model(model, prompts, found.__setitem__, max_tokens=5)  # type: ignore[arg-type]
    assert found == {1: "1"}
    assert [len(batch) for batch in model.batches] == [8]


# ── Answers ──────────────────────────────────────────────────────────────────────────────────────


def test_answers_of_earlier_runs_are_read(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    lines = Lines(file)
    lines.add(
        {"key": "a", "answer": "story"},
        {"key": "b", "answer": "yes", "clipped": True, "cut": False},
    )
    lines.close()
    answers = Answers(file)
    assert answers["a"] == Answer("story")
    assert answers["b"] == Answer("yes", clipped=True)
    assert "c" not in answers
    answers.add("a", Answer("another"))
    answers.add("c", Answer("no"))
    answers.close()
    assert len(file.read_text().splitlines()) == 3
    assert Answers(file)["a"] == Answer("story")
    assert Answers(file)["c"] == Answer("no")


def test_answers_that_were_dear_are_on_the_disk_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Served(Model):
        def generate_each(self, tokens: Any, sampling: Sampling, keep: Any) -> None: ...

    syncs: list[int] = []
    monkeypatch.setattr("harness.store.lines.os.fsync", syncs.append)
    judges: list[Any] = [None, Served("cpu"), Model("cpu")]
    for number, judge in enumerate(judges):
        syncs.clear()
        answers = Answers(tmp_path / f"{number}.jsonl")
        add = answers.adding(judge)
        for key in "abcd":
            add({key: Answer("no"), f"{key}{key}": Answer("yes")})
        assert len(syncs) == (1 if number == 2 else 4)
        add({"a": Answer("another")})
        answers.close()
        assert len(syncs) == (2 if number == 2 else 4)
        again = Answers(tmp_path / f"{number}.jsonl")
        assert [again[key].answer for key in ("a", "aa", "d", "dd")] == ["no", "yes"] * 2


def test_a_letter_changed_in_an_answer_is_asked_again(tmp_path: Path) -> None:
    """CASES row 10, and lines without a hash of themselves: what wrote them cannot be known."""
    file = tmp_path / "answers.jsonl"
    answers = Answers(file)
    answers.add("a", Answer("no"))
    answers.add("b", Answer("no"))
    answers.close()
    content = file.read_text().replace('"answer": "no"', '"answer": "yo"', 1)
    file.write_text(content + '{"key": "c", "answer": "yes"}\n')
    with hearing() as heard:
        again = Answers(file)
    assert [key for key in "abc" if key in again] == ["b"]
    assert len(heard) == 1
    assert "dropped 2 remembered lines" in heard[0]
