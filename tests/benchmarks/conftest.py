"""The scripts of this folder as modules, and their commands in the process of the tests."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)  # benchmarks are no package: they import each other by name


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A script sets how many threads torch has, as its own process may."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _uncollected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each turn a script collects garbage, which is to look through all that the tests have
    loaded. What a turn takes is not asked here."""
    monkeypatch.setattr("turns.clock.gc", SimpleNamespace(collect=int))


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command of a script here, which spares a start of torch: what it printed."""

    def printed(name: str, *words: object) -> str:
        script = importlib.import_module(name)
        capsys.readouterr()
        assert not script.main([str(word) for word in words])
        return capsys.readouterr().out

    return printed
