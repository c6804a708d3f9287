"""The benchmark of loading runs at a small size, and leaves nothing behind. It asserts no times."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def load_speed() -> ModuleType:
    return importlib.import_module("load_speed")


@pytest.mark.slow
def test_small(
    load_speed: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ["--gigabytes", "0.008", "--repeats", "2", "--folder", str(tmp_path)]
    assert load_speed.main([*given, "--figures"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bytes"] > 7e6
    names = {"read", "first", "first, cold", "later", "later, used", "as before"}
    assert set(found["loads"]) == names
    assert all(len(one["to_read"]) == 2 for one in found["loads"].values())
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(load_speed, "measured", lambda *_: found)
    assert load_speed.main(given) == 0
    assert "later, used" in capsys.readouterr().out


def test_later_loads_hash_nothing(load_speed, tmp_path: Path, monkeypatch) -> None:
    """What makes them fast, counted: both turns after the first find all in the cache."""
    from harness.store import known_files
    from harness_saes.core import linear, numbers

    file = load_speed.write_sae(tmp_path, 0.008)
    now = known_files.time.time_ns
    monkeypatch.setattr(known_files.time, "time_ns", lambda: now() + 10**10)
    first = load_speed.load(file, tmp_path / "cache")
    monkeypatch.setattr(numbers, "in_pieces", lambda content: pytest.fail("hashed"))
    monkeypatch.setattr(linear, "finite", lambda tensor: pytest.fail("summed"))
    for _ in range(2):
        assert load_speed.load(file, tmp_path / "cache").fingerprint == first.fingerprint
