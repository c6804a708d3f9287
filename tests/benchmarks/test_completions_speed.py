"""The benchmark runs, at a shape that takes seconds, and says what it measured."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

SMALL = "--width 24 --blocks 2 --heads 3 --kept 1 --inner 32 --vocabulary 64 --new 2 --rounds 2"


@pytest.mark.slow
def test_every_arm_is_measured(printed: Callable[..., str]) -> None:
    out = printed("completions_speed", *SMALL.split())
    ratios = re.findall(r"^\| (.+?) \| [\d.]+ \| ([\d.]+) ", out, re.MULTILINE)
    assert [name for name, _ in ratios] == [
        "no edit",
        "ablation at every block",
        "addition",
        "nothing in common",
        "two thirds in common",
        "one prompt, an arm for each row",
        "a prompt and an arm for each row",
    ]
    assert dict(ratios)["no edit"] == "1.000"
    assert out.count("bound 1.") == 2
