"""Item 6 of the issue: completions that are drawn, in runs that are cut off and go on.

Luck goes by the row's own random numbers, so neither a cut nor the batch decides what is drawn.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.planning.planner import plan
from harness.registry import Registry, discover
from harness.running.runner import run
from harness.task.file import read_source
from harness.task.resolve import resolve
from harness_transformers.model import TransformersModel

from .conftest import TEXT

TASK = """
name = "drawn"
title = "What is drawn?"
[models.m]
path = "{folder}"
[views.v]
model = "m"
[data.asked]
file = "asked.jsonl"
[evaluators.substrings]
[experiments.e]
view = "v"
data = "asked"
evaluators = ["substrings"]
generation = {{ max_new_tokens = 8, temperature = 0.9, top_p = 0.95 }}
"""
Live = Callable[..., dict[str, str]]


class Cut(Exception):
    """The power went off."""


@pytest.fixture(scope="module")
def installed() -> Registry:
    return discover()


@pytest.fixture
def live(
    folders: dict[str, Path], tmp_path: Path, installed: Registry, monkeypatch: pytest.MonkeyPatch
) -> Live:
    """Runs the task in a folder, up to a batch; gives completions by row."""
    texts = [f"{text} {n}" for n, text in enumerate(TEXT * 3)]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    (tmp_path / "task.toml").write_text(TASK.format(folder=folders["llama"]))
    real = TransformersModel.generate

    def live(out: str, *overrides: str, batches: int = 99) -> dict[str, str]:
        left = iter(range(batches))

        def generate(self: TransformersModel, *given: Any) -> Any:
            if next(left, None) is None:
                raise Cut
            return real(self, *given)

        monkeypatch.setattr(TransformersModel, "generate", generate)
        task = resolve(read_source(tmp_path / "task.toml", overrides), installed)
        run(plan(task), installed, tmp_path / out)
        lines = (tmp_path / out / "samples" / "e.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        return {row["example"]: row["completion"] for row in rows}

    return live


@pytest.mark.slow
def test_a_run_that_was_cut_off_draws_what_it_would_have_drawn(live: Live, tmp_path: Path) -> None:
    whole = live("whole", "batch.generation=2")
    assert len(set(whole.values())) > 6, "nothing is drawn"
    for batches in (1, 3):
        with pytest.raises(Cut):
            live(f"cut{batches}", "batch.generation=2", batches=batches)
        made = (tmp_path / f"cut{batches}" / "work" / "e.jsonl").read_text().splitlines()
        assert len(made) == batches
        # The rest, in batches of another size: other neighbours, the same luck.
        assert live(f"cut{batches}", "batch.generation=3") == whole
    assert live("one", "batch.generation=1") == whole
    assert live("all", "batch.generation=64") == whole


@pytest.mark.slow
def test_another_seed_draws_anew_and_another_order_does_not(live: Live, tmp_path: Path) -> None:
    whole = live("whole")
    other = live("other", "seed=1")
    assert other.keys() == whole.keys()
    assert sum(other[row] != whole[row] for row in whole) > len(whole) / 2
    lines = (tmp_path / "asked.jsonl").read_text().splitlines()
    (tmp_path / "asked.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    assert live("turned") == whole
