"""Runs the command as a person does, and reads what it says as one would."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import fakes

Said = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]

_PAIR = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
[metrics.active]
pair = "p"
"""
_BATCH = """
[batch]
activations = 1
generation = 2
shard = 8
"""
EXPERIMENT = _PAIR + fakes.EXPERIMENT + _BATCH
"""A whole experiment on the fakes: a pass of several shards, and completions."""


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
