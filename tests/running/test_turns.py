"""Models whose turn is over give back what they kept for the next batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import fakes
from harness.running.session import Session


def test_a_model_rests_when_anothers_turn_comes(
    session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    rested: list[object] = []
    monkeypatch.setattr(fakes.FakeModel, "rest", lambda its: rested.append(its), raising=False)
    running = session()
    base, chat = (running.model(name)._model for name in ("base", "chat"))  # type: ignore[attr-defined]
    assert rested == [base]
    running.view_model("chat")
    assert rested == [base, base]
    running.view_model("base")
    assert rested == [base, base, chat]


def test_a_model_that_keeps_nothing_is_not_asked(session: Callable[..., Session]) -> None:
    running = session()
    assert running.model("base") is not running.model("chat")
