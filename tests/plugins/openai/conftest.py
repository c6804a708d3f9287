"""A server, and models that it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fakes.replay import only_what_hangs_times_out
from fakes.served import MODEL, Served
from harness_openai.backend import OpenAIBackend
from harness_openai.model import ServedModel
from harness_openai.options import OpenAIOptions


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr("harness.web.waiting.FIRST_PAUSE", 0.01)
    server = Served()
    only_what_hangs_times_out(monkeypatch, server)
    yield server
    server.close()


@pytest.fixture
def model(served: Served) -> Callable[..., ServedModel]:
    def model(**options: Any) -> ServedModel:
        given = {"server": served.url, "server_model": MODEL, "retries": 2, **options}
        return OpenAIBackend(OpenAIOptions(**given)).load()

    return model
