"""The benchmark runs, and telling an observer something costs a run next to nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest


@pytest.mark.slow
def test_an_event_costs_at_most_its_bound(printed: Callable[..., str]) -> None:
    out = printed("observer_speed", "--events", "2000")
    assert "bound 20 µs: holds" in out
    medians = re.findall(r"^\| .+? \| ([\d.]+) \|", out, re.MULTILINE)
    assert len(medians) == 7
