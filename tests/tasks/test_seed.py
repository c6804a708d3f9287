"""Item 6 of the issue: what another seed changes, and what it must not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.planning.planner import plan
from harness.registry import discover
from harness.results.read import Results
from harness.running.runner import run
from harness.task.file import read_source
from harness.task.resolve import resolve

from .test_dtypes import TASK


@pytest.mark.slow
def test_another_seed_changes_only_what_is_drawn(tmp_path: Path) -> None:
    """Nothing is shuffled or drawn here: the same rows in the same order, the same direction, the
    same greedy completions; intervals of a bootstrap alone may be others."""
    (tmp_path / "task.toml").write_text(TASK)
    registry = discover()

    def live(seed: int) -> tuple[Results, str]:
        task = resolve(read_source(tmp_path / "task.toml", (f"seed={seed}",)), registry)
        found = run(plan(task), registry, tmp_path / str(seed))
        return found, (tmp_path / str(seed) / "samples" / "e.jsonl").read_text()

    (first, said), (second, also) = live(0), live(1)
    assert [json.loads(line) for line in said.splitlines()] == [
        json.loads(line) for line in also.splitlines()
    ]
    for one, other in zip(first.records, second.records, strict=True):
        assert (one.id, one.axes, one.n, one.undefined) == (
            other.id,
            other.axes,
            other.n,
            other.undefined,
        )
        assert one.value == other.value, one.id
    digests = [results.provenance["data"] for results in (first, second)]
    assert digests[0] == digests[1]
