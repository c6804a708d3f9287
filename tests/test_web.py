"""The patient client against a server on this machine: tries, pauses, limits, and keys."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest

from fakes.replay import (
    Replay,
    Reply,
    clock_of_web,
    only_what_hangs_times_out,
    pauses_of_web,
)
from harness.web import Busy, Refused, Unreachable, Unusable, Web

KEY = "sk-secret"


@pytest.fixture
def replay() -> Iterator[Replay]:
    server = Replay()
    yield server
    server.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return pauses_of_web(monkeypatch)


def web(**more: Any) -> Web:
    return Web(**{"timeout": 60.0, "retries": 3, "secret": KEY, **more})


def get(replay: Replay, *replies: Reply, **more: Any) -> bytes:
    replay.replies["/page"] = list(replies)
    return web(**more).get(f"{replay.url}/page", 1000, {"x-api-key": KEY})


# ── Tries ────────────────────────────────────────────────────────────────────────────────────────


def test_a_page_is_read_with_its_headers(replay: Replay) -> None:
    assert get(replay, Reply(b"\xff\x00page")) == b"\xff\x00page"
    ((path, headers),) = replay.asked
    assert path == "/page"
    assert headers["x-api-key"] == KEY
    assert headers["user-agent"] == "sae-harness"


def test_json_is_posted_and_what_reads_it_decides(replay: Replay, pauses: list[float]) -> None:
    replay.replies["/ask"] = [Reply("nonsense"), Reply('{"n": 7}')]

    def read(body: bytes) -> int:
        try:
            return int(json.loads(body)["n"])
        except ValueError:
            raise Unusable("no number") from None

    assert web().post(f"{replay.url}/ask", {"q": "x\u2028"}, 1000, read) == 7
    assert replay.sent == [{"q": "x\u2028"}] * 2
    assert len(pauses) == 1
    replay.replies["/ask"] = [Reply(f"nonsense {KEY}")]
    with pytest.raises(Unreachable, match=r"^no number: nonsense \*\*\*$") as caught:
        web().post(f"{replay.url}/ask", {}, 1000, read)
    assert caught.value.tries == 4


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, -1])
def test_what_passes_is_tried_again_after_longer_pauses(
    replay: Replay, pauses: list[float], status: int
) -> None:
    trouble = Reply("oh", status)
    assert get(replay, trouble, trouble, trouble, Reply("fine")) == b"fine"
    for number, pause in enumerate(pauses):
        assert 2**number <= pause <= 2**number + 1
    assert len(pauses) == 3


def test_what_does_not_pass_ends_after_all_tries(replay: Replay, pauses: list[float]) -> None:
    with pytest.raises(Unreachable, match=r"^answered 503 gone$") as caught:
        get(replay, Reply("gone", 503), retries=2)
    assert caught.value.tries == len(replay.asked) == 3
    assert len(pauses) == 2


def test_pauses_have_an_end(replay: Replay, pauses: list[float]) -> None:
    with pytest.raises(Unreachable):
        get(replay, Reply("", 500), retries=40)
    assert max(pauses) == pauses[-1] == 60


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 413, 422])
def test_a_refusal_is_final_and_a_redirection_not_followed(
    replay: Replay, pauses: list[float], status: int
) -> None:
    refusal = Reply(f"no \x1b[2J {KEY}", status, {"Location": f"{replay.url}/elsewhere"})
    with pytest.raises(Refused) as caught:
        get(replay, refusal)
    assert caught.value.status == status
    assert str(caught.value).startswith(f"{status} no")
    assert replay.paths == ["/page"]
    assert not pauses
    assert "\x1b" not in str(caught.value)


def test_nobody_there(pauses: list[float]) -> None:
    with pytest.raises(Unreachable, match=r"cannot be reached \(.*refused"):
        web().get("http://127.0.0.1:9/", 10)
    assert len(pauses) == 3


# ── Answers that do not end ──────────────────────────────────────────────────────────────────────


def test_an_answer_that_is_too_long_is_not_asked_for_again(replay: Replay) -> None:
    assert len(get(replay, Reply("x" * 1000))) == 1000
    with pytest.raises(Unreachable, match="longer than 1000 bytes"):
        get(replay, Reply("x" * 1001))
    assert len(replay.asked) == 2


def test_an_answer_that_breaks_off_is_asked_for_again(replay: Replay, pauses: list[float]) -> None:
    torn = Reply("{", 200, {"Content-Length": "5", "Connection": "close"})
    assert get(replay, torn, Reply("{}")) == b"{}"
    assert len(replay.asked) == 2


def test_a_server_that_hangs(
    replay: Replay, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    only_what_hangs_times_out(monkeypatch, replay)
    with pytest.raises(Unreachable, match=r"connection failed .*timed out"):
        get(replay, Reply(hangs=True), timeout=0.2, retries=1)
    assert len(replay.asked) == 2


# ── Pauses that are asked for ────────────────────────────────────────────────────────────────────


def test_a_pause_that_is_asked_for_is_made(
    replay: Replay, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.web.waiting.time", SimpleNamespace(time=lambda: 1000.0))
    slow = Reply("slow", 429, {"Retry-After": "21"})
    date = Reply("slow", 503, {"Retry-After": formatdate(1300.0, usegmt=True)})
    assert get(replay, slow, date, Reply("fine")) == b"fine"
    assert pauses == [21, 300]


@pytest.mark.parametrize("value", ["soon", "-1", "", "1e9", "Mon, 99 Foo 2000"])
def test_a_pause_that_is_none(replay: Replay, pauses: list[float], value: str) -> None:
    assert get(replay, Reply("", 429, {"Retry-After": value}), Reply("fine")) == b"fine"
    assert 1 <= pauses[0] <= 2


def test_nobody_waits_for_hours(replay: Replay, pauses: list[float]) -> None:
    with pytest.raises(Busy, match="answered 429 quota and asks to wait 86400 seconds"):
        get(replay, Reply("quota", 429, {"Retry-After": "86400"}))
    assert not pauses


def test_pages_are_asked_for_as_seldom_as_agreed(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = clock_of_web(monkeypatch)
    clock.now = 7.0
    replay.replies["/page"] = [Reply("fine")]
    seldom = web(interval=50.0)
    for _ in range(3):
        seldom.get(f"{replay.url}/page", 1000)
    assert clock.turns == [7.0, 57.0, 107.0]


def test_a_stop_ends_pauses_and_questions(replay: Replay) -> None:
    replay.replies["/page"] = [Reply("slow", 429, {"Retry-After": "500"})]
    stopped = web()

    def stop() -> None:
        while not replay.asked:
            time.sleep(0.01)
        stopped.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    start = time.monotonic()
    with pytest.raises(Unreachable, match="429"):
        stopped.get(f"{replay.url}/page", 1000)
    with pytest.raises(Unreachable, match="stopped"):
        stopped.get(f"{replay.url}/page", 1000)
    assert time.monotonic() - start < 400
    assert len(replay.asked) == 1
    stopping.join()


# ── Keys ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [400, 401, 429, 500])
@pytest.mark.parametrize("before", [0, 150, 196])
def test_a_key_that_the_server_repeats_is_in_no_error(
    replay: Replay, pauses: list[float], status: int, before: int
) -> None:
    with pytest.raises((Refused, Unreachable)) as caught:
        get(replay, Reply(" " * before + KEY * 3, status), retries=0)
    error: BaseException | None = caught.value
    while error is not None:
        assert KEY not in str(error)
        assert KEY[:5] not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_proxies_are_those_of_the_environment_but_not_for_this_machine(
    replay: Replay, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", replay.url)
    assert get(replay, Reply("fine")) == b"fine"
    replay.replies["http://acme.invalid/page"] = [Reply("by proxy")]
    assert web().get("http://acme.invalid/page", 1000) == b"by proxy"
