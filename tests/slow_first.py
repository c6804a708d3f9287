"""The hook that puts slow tests first. Imports nothing heavy: a test has it without the rest."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On several workers files with slow tests come first, so that at the end none waits long for
    the other. The mark comes into what `--junitxml` writes, for `tests/durations.py`."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.user_properties.append(("slow", "yes"))
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)
