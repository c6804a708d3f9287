"""The HarmBench evaluator with a server that answers late, wrongly, or not at all."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes.replay import pauses_of_web
from harness.contract import Answer, Tools, Verdict
from harness.errors import MachineError, ModelError, UsageError
from harness.testing import check_evaluator
from harness_evaluators.harmbench.evaluator import HarmBench
from harness_evaluators.harmbench.options import HarmBenchOptions

from .conftest import Plain, Recorded, Reply, Server, answer, said
from .test_harmbench import ANSWERS, judged

SECRET = "sk-very-secret-0123456789"


@pytest.fixture
def ask(server: Server, classifier: Path) -> Any:
    def ask(answers: list[Answer], cache: Path | None = None, **given: Any) -> list[Verdict]:
        return HarmBench(made(server, classifier, **given)).judge(answers, Tools(cache=cache))

    return ask


def made(at: Server, classifier: Path, **given: Any) -> HarmBenchOptions:
    more = {"server": at.url, "server_model": "cls", "tokenizer": str(classifier)}
    return HarmBenchOptions(**{**more, "timeout": 5.0, "retries": 3, **given})


@pytest.mark.slow
def test_verdicts_equal_those_of_the_model_itself(
    server: Server, ask: Any, plain: Plain, judge: Recorded
) -> None:
    server.rule = plain.says
    assert ask(ANSWERS) == judged(judge, ANSWERS)
    wanted = {"model", "prompt", "max_tokens", "temperature"}
    assert all(request.keys() == wanted for request in server.requests)
    assert {(r["model"], r["max_tokens"], r["temperature"]) for r in server.requests} == {
        ("cls", 1, 0)
    }
    # Text: the server's own tokenizer adds the start token, once.
    assert sorted(r["prompt"] for r in server.requests) == sorted(t.text for t in judge.asked)


@pytest.mark.parametrize("tokens", [511, 512, 513])
def test_completions_are_clipped(
    server: Server, ask: Any, plain: Plain, judge: Recorded, tokens: int
) -> None:
    server.rule = plain.says
    one = [answer("a" + " a" * (tokens - 2))]
    assert ask(one) == judged(judge, one)
    assert server.requests[0]["prompt"] == judge.asked[0].text


def test_a_prompt_that_lost_its_start_is_sent_as_tokens(
    server: Server, ask: Any, plain: Plain, judge: Recorded
) -> None:
    server.rule = plain.says
    long = [answer("cake", "a cake " * 500)]
    assert ask(long, context=200) == judged(judge, long, context=200)
    assert server.requests[0]["prompt"] == list(judge.asked[0].ids)
    assert len(server.requests[0]["prompt"]) == 199


@pytest.mark.slow
def test_the_laws_of_evaluators(server: Server, classifier: Path) -> None:
    server.rule = lambda prompt: " yes" if len(prompt) % 2 else "No\n"
    check_evaluator(HarmBench(made(server, classifier)), ANSWERS[:6], Tools())


def test_order_is_kept_whoever_answers_first(server: Server, ask: Any) -> None:
    def rule(prompt: str) -> str:
        number = int(prompt.partition("number ")[2].partition("!")[0])
        time.sleep(0.02 * (number % 3 == 0))
        return "yes" if number % 2 else "no"

    server.rule = rule
    verdicts = ask([answer(f"number {n}!") for n in range(30)], concurrency=7)
    assert [v.scores["safe"] for v in verdicts] == [n % 2 == 0 for n in range(30)]


@pytest.mark.parametrize(
    ("text", "safe"),
    [("yes", False), (" YES \n", False), ("No", True), ("", None), ("yes.", None), ("maybe", None),
     ("yes, because", None), ("<script>", None), ("\ud800", None), ("n" * 10**5, None)],
)  # fmt: skip
def test_answers(server: Server, ask: Any, text: str, safe: bool | None, tmp_path: Path) -> None:
    server.replies = [said(text)]
    (verdict,) = ask([answer("x")], tmp_path)
    assert verdict.scores == {"safe": safe}
    assert verdict.note.startswith("invalid: ") == (safe is None)
    assert len(verdict.note) < 200
    assert ask([answer("x")], tmp_path) == [verdict]
    assert len(server.requests) == 1


# ── Failures that pass ───────────────────────────────────────────────────────────────────────────

BAD = {
    "429": Reply("slow down", 429),
    "408": Reply("", 408),
    "500": Reply("<html>oops</html>", 500),
    "502 without a word": Reply("", 502),
    "late": Reply(hangs=True),
    "byte by byte": Reply({"choices": [{"text": "yes"}]}, drip=0.05),
    "garbage": Reply("choices: no"),
    "bytes": Reply(b"\xff\xfe\x00"),
    "half of it": Reply({"choices": [{"text": "yes"}]}, cut=20),
    "nothing of it": Reply({"choices": [{"text": "yes"}]}, cut=0),
    "empty": Reply(""),
    "no choices": Reply({"choices": []}),
    "two choices": Reply({"choices": [{"text": "yes"}, {"text": "no"}]}),
    "no text": Reply({"choices": [{"message": "yes"}]}),
    "a number": said(5),
    "null": said(None),
    "a list": Reply([1, 2]),
    "choices that are none": Reply({"choices": "yes"}),
    "an error": Reply({"error": {"message": "overloaded"}}),
    "deep": Reply("[" * 100_000),
    "endless": Reply(b" " * (2**20 + 1)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_fails_once_is_asked_again(server: Server, ask: Any, name: str) -> None:
    server.replies = [BAD[name]]
    assert [v.scores["safe"] for v in ask([answer("x")], timeout=0.3)] == [True]
    assert len(server.requests) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_what_fails_for_ever_ends_and_keeps_what_was_judged(
    server: Server, ask: Any, name: str, tmp_path: Path
) -> None:
    rows = [answer(f"number {n}") for n in range(4)]
    server.replies = [said("yes"), said("no"), *[BAD[name]] * 2]
    with pytest.raises(MachineError, match=r"tried 2 times.*run the same command again") as caught:
        ask(rows, tmp_path, retries=1, concurrency=1, timeout=0.3)
    assert server.url in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    server.requests.clear()
    assert [v.scores["safe"] for v in ask(rows, tmp_path)] == [False, True, True, True]
    assert sorted(r["prompt"].partition("number ")[2][0] for r in server.requests) == ["2", "3"]


@pytest.mark.slow
def test_a_server_that_dies_in_the_middle_loses_nothing(
    server: Server, ask: Any, tmp_path: Path
) -> None:
    rows = [answer(f"number {n}") for n in range(40)]
    server.dead_after = 17
    with pytest.raises(MachineError, match="503 gone"):
        ask(rows, tmp_path, retries=0)
    kept = (tmp_path / "harmbench.jsonl").read_text().splitlines()
    assert len(kept) == 17
    server.dead_after = None
    server.requests.clear()
    assert [v.scores["safe"] for v in ask(rows, tmp_path)] == [True] * 40
    assert len(server.requests) == 40 - 17


def test_nobody_there(server: Server, ask: Any) -> None:
    with pytest.raises(MachineError, match=r"cannot be reached.*refused"):
        ask([answer("x")], server="http://127.0.0.1:9", retries=1)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(
    server: Server, ask: Any, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr("harness.web.waiting.time", SimpleNamespace(time=lambda: 1000.0))
    pauses = pauses_of_web(monkeypatch)
    wanted = {"seconds": "7", "date": formatdate(1007.0, usegmt=True)}[form]
    server.replies = [Reply("", 429, {"Retry-After": wanted})]
    ask([answer("x")])
    assert pauses == [7]


@pytest.mark.parametrize("value", ["soon", "-1", "", "1e9", "Mon, 99 Foo 2000"])
def test_a_retry_after_that_says_nothing(server: Server, ask: Any, value: str) -> None:
    server.replies = [Reply("", 429, {"Retry-After": value})]
    ask([answer("x")])
    assert len(server.requests) == 2


def test_nobody_waits_for_hours(server: Server, ask: Any) -> None:
    server.replies = [Reply("quota", 429, {"Retry-After": "86400"})]
    with pytest.raises(MachineError, match="asks to wait 86400 seconds"):
        ask([answer("x")])


def test_pauses_grow(server: Server, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.web.waiting.FIRST_PAUSE", 0.1)
    pauses = pauses_of_web(monkeypatch)
    server.replies = [Reply("", 500)] * 3
    ask([answer("x")])
    for n, pause in enumerate(pauses):
        assert 0.1 * 2**n <= pause <= 0.1 * (2**n + 1)
    assert len(pauses) == 3


# ── Failures that are the user's ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (400, "Set|set context"),
        (401, "environment variable and name that: api_key_variable"),
        (403, "api_key_variable"),
        (404, "server_model a model that it serves"),
        (422, "refused a request"),
        (302, "server must be the address"),
    ],
)
def test_what_will_never_work_is_said_at_once(
    server: Server, ask: Any, code: int, said: str
) -> None:
    there = {"Location": f"{server.url}/v1/completions"} if code == 302 else {}
    server.replies = [Reply({"message": "no \x1b[2J such thing"}, code, there)]
    with pytest.raises(UsageError, match=said) as caught:
        ask([answer("x")])
    assert f"{code} " in str(caught.value)
    assert "such thing" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(server.requests) == 1


def test_a_refusal_in_the_middle_keeps_what_was_judged(
    server: Server, ask: Any, tmp_path: Path
) -> None:
    server.replies = [said("yes"), Reply("too long", 400)]
    rows = [answer(f"number {n}") for n in range(3)]
    with pytest.raises(UsageError, match="too long"):
        ask(rows, tmp_path, concurrency=1)
    server.requests.clear()
    ask(rows, tmp_path)
    assert len(server.requests) == 2


def test_a_tokenizer_that_cannot_be_read(server: Server, ask: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer .*cannot load it"):
        ask([answer("x")], tokenizer=str(tmp_path))


# ── The key ──────────────────────────────────────────────────────────────────────────────────────


def test_the_key_is_sent_and_kept_nowhere(
    server: Server, ask: Any, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", f" {SECRET}\n")
    verdicts = ask([answer("x")], tmp_path, api_key_variable="JUDGE_KEY")
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    given = made(server, classifier, api_key_variable="JUDGE_KEY")
    files = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    for text in [*files, str(verdicts), json.dumps(given.model_dump(mode="json")), repr(given)]:
        assert SECRET not in text
    ask([answer("y")])
    assert "Authorization" not in server.headers[-1]


@pytest.mark.parametrize("code", [401, 403, 400, 500])
def test_a_server_that_repeats_the_key(
    server: Server, ask: Any, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    server.replies = [Reply({"error": f"bad key {SECRET}"}, code)]
    with pytest.raises((UsageError, MachineError)) as caught:
        ask([answer("x")], api_key_variable="JUDGE_KEY", retries=0)
    assert SECRET not in str(caught.value)
    assert "bad key ***" in str(caught.value)
    if code in (401, 403):
        assert "JUDGE_KEY" in str(caught.value)


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_a_key_that_is_missing(
    server: Server, ask: Any, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("JUDGE_KEY", value)
    with pytest.raises(UsageError, match="JUDGE_KEY is not set"):
        ask([answer("x")], api_key_variable="JUDGE_KEY")
    assert not server.requests


@pytest.mark.parametrize("value", ["a\nb", "schlüssel", "a\x01b"])
def test_a_key_that_is_none(
    server: Server, ask: Any, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("JUDGE_KEY", value)
    with pytest.raises(UsageError, match="JUDGE_KEY holds no key") as caught:
        ask([answer("x")], api_key_variable="JUDGE_KEY")
    assert value not in str(caught.value)


def test_a_redirection_never_sees_the_key(
    server: Server, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    for code in (301, 302, 303, 307, 308):
        server.replies = [Reply("", code, {"Location": f"{server.url}/elsewhere"})]
        with pytest.raises(UsageError, match=str(code)):
            ask([answer("x")], api_key_variable="JUDGE_KEY")
    assert len(server.requests) == 5


@pytest.mark.slow
def test_what_is_known_needs_neither_server_nor_key(
    server: Server, ask: Any, tmp_path: Path
) -> None:
    first = ask(ANSWERS, tmp_path)
    server.dead_after = 0
    assert ask(ANSWERS, tmp_path, api_key_variable="NOT_SET") == first
