"""What a stranger's options do while they are imported: it stops no command (CASES row 31)."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import PluginError
from harness.registry import discover

ONE = """
from harness.contract import Component, hookimpl
@hookimpl
def harness_components():
    return [Component("metric", "odd", "x", "acme_options:X", "acme_options:X"),
            Component("sae_format", "odd", "x", "acme_options:X", "acme_options:X")]
"""
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hostile(fake_dist: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a plugin whose options do this when they are imported."""
    monkeypatch.setattr("harness.registry.guard.SLOWEST", 0.5)

    def hostile(code: str) -> None:
        fake_dist("acme-odd", ONE)
        fake_dist("acme-options", code, entry_points=())

    return hostile


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import time\ntime.sleep(60)", "importing it takes more than 0.5 s"),
        ("while True:\n    pass", "importing it takes more than 0.5 s"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("open('/nowhere/at/all')", "FileNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
    ids=["sleeps", "loops", "interrupts", "exits", "no-file", "divides"],
)
def test_options_that_stop_or_hang_stop_only_who_names_them(
    hostile: Callable[..., None], said: Said, code: str, why: str
) -> None:
    hostile(code)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    registry = discover()
    with pytest.raises(PluginError, match=rf"acme_odd/odd: .*{why}.*plugin's author"):
        registry.find("metric", "odd").options()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    ended, out, err = said("schema")
    assert (ended, err) == (0, "")
    assert "acme_odd" not in out
    assert "harness_metrics/l0" in json.dumps(json.loads(out))
    ended, out, err = said("plugins", "odd")
    assert (ended, out, len(err.splitlines())) == (2, "", 1)
    assert why in err


def test_what_options_print_is_not_in_our_output(hostile: Callable[..., None], said: Said) -> None:
    hostile("print('hello')\nfrom harness.contract import MetricOptions as X")
    ended, out, err = said("schema")
    assert ended == 0
    assert "hello" in err
    json.loads(out)
