"""Fixtures of the tests of tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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
