"""Fixtures of runs with a cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fakes
from fakes.cached import EVERYTHING, GIB, Cached
from harness.planning.planner import plan
from harness.registry import Registry
from harness.results.read import Results
from harness.running.runner import run
from harness.store.cache import Cache
from harness.task.task import Task


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", GIB)


@pytest.fixture
def cached(task: Callable[..., Task], registry: Registry, tmp_path: Path, cache: Cache) -> Cached:
    """Runs a task into a folder of its own, with the cache or without; the lab is emptied first."""
    number = iter(range(100))

    def cached(text: str = EVERYTHING, *overrides: str, use: Cache | None = cache) -> Results:
        fakes.LAB.clear()
        folder = tmp_path / f"run{next(number)}"
        return run(plan(task(text, *overrides)), registry, folder, cache=use)

    return cached
