"""Runs the command as a person does, and reads what it says as one would."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli.main import main

Said = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]

EXPERIMENT = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
[metrics.active]
pair = "p"
[directions.a]
method = "probe"
view = "chat"
data = "web"
[experiments.e]
view = "chat"
data = "web"
directions = ["a"]
evaluators = ["polite"]
intervention = { method = "shift" }
[batch]
activations = 1
generation = 2
shard = 8
"""
"""A whole experiment on the fakes: a pass of several shards, and completions."""


@pytest.fixture
def said(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Said:
    """Runs a command in an empty folder: its exit code, output and complaints."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def said(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return said


def clear(err: str, *parts: str) -> None:
    """The complaint is of whole sentences, says all this, and is nothing but that."""
    assert "Traceback" not in err
    lines = err.splitlines()
    assert lines
    for line in lines:
        # Click ends the line on which a terminal shows ^C.
        assert line.startswith("harness: ") or not line, err
    for part in parts:
        assert re.search(part, err), (part, err)
