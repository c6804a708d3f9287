"""The benchmark of loading runs at a small size, and leaves nothing behind. It asserts no times."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent / "load_speed.py"


@pytest.fixture
def load_speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))  # benchmarks are no package
    spec = importlib.util.spec_from_file_location("load_speed", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "load_speed", module)
    spec.loader.exec_module(module)
    return module


def test_small(load_speed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--gigabytes", "0.008", "--repeats", "2", "--folder", str(tmp_path)]
    assert load_speed.main([*given, "--figures"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bytes"] > 7e6
    names = {"read", "first", "first, cold", "later", "later, used", "as before"}
    assert set(found["loads"]) == names
    assert all(len(one["to_read"]) == 2 for one in found["loads"].values())
    assert not list(tmp_path.iterdir())
    assert load_speed.main(given) == 0
    assert "later, used" in capsys.readouterr().out


def test_later_loads_hash_nothing(load_speed, tmp_path: Path, monkeypatch) -> None:
    """What makes them fast, counted: both turns after the first find all in the cache."""
    from harness.store import known_files
    from harness_saes.core import numbers

    file = load_speed.write_sae(tmp_path, 0.008)
    now = known_files.time.time_ns
    monkeypatch.setattr(known_files.time, "time_ns", lambda: now() + 10**10)
    first = load_speed.load(file, tmp_path / "cache")
    monkeypatch.setattr(numbers, "in_pieces", lambda content: pytest.fail("hashed"))
    monkeypatch.setattr(numbers, "_finite_sum", lambda part: pytest.fail("summed"))
    for _ in range(2):
        assert load_speed.load(file, tmp_path / "cache").fingerprint == first.fingerprint
