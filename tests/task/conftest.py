"""Fixtures of the tests of tasks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fakes
from fakes.local import GROWTH, MINE, PAIR, witness
from harness.registry.local_code import PREFIX
from harness.task.data import load_data
from harness.task.data_spec import DataSpec


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., list[Any]]:
    """Loads a file of this content."""

    def load(content: str | bytes, name: str = "d.jsonl", **spec: Any) -> list[Any]:
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return load_data("d", DataSpec(file=str(file), **spec), tmp_path / "cache")

    return load


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's state folder, which is empty; modules of local files are forgotten afterwards."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield tmp_path / "state"
    for name in [name for name in sys.modules if name.startswith(PREFIX)]:
        del sys.modules[name]


@pytest.fixture
def mine(write: Callable[..., Path], fake_plugin: Path, state: Path) -> Callable[..., Path]:
    """Writes a task with a plugin beside it. The plugin leaves a witness where it runs."""

    def mine(
        code: str = MINE, name: str = "my_metric.py", text: str = PAIR + GROWTH, key: str = ""
    ) -> Path:
        task = write(text, head=(key or f'plugins = ["./{name}"]\n') + fakes.TINY)
        (task.parent / name).write_text(witness(task.parent) + code, encoding="utf-8")
        return task

    return mine
