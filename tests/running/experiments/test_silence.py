"""Experiments in which nothing was measured: no answers, or no verdict on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import fakes
from harness.errors import InvalidRun
from harness.results.read import Results, load_results

RunTask = Callable[..., Results]


def test_a_score_without_a_valid_verdict_makes_the_run_invalid(
    run_task: RunTask, tmp_path: Path
) -> None:
    """CASES row 16: it says where, in which arm, of how many, and what the judge said first."""
    with pytest.raises(InvalidRun) as caught:
        run_task(fakes.EXPERIMENT + '[evaluators.polite]\nshrug = ","\n')
    lines = str(caught.value).split("\n")
    assert len(lines) == 2
    for line, arm in zip(lines, ("none", "a"), strict=True):
        assert line.startswith(f"experiments.e, evaluator polite, direction {arm}: the scores ")
        assert f"any of {len(fakes.WEB)} completions" in line
        assert "'no idea'" in line
    results = load_results(tmp_path / "run")
    assert results.status == "invalid"
    assert results.problems == tuple(lines)
    (refused, _) = [r for r in results.records if r.id == "polite.refused@1"]
    assert (refused.value, refused.n) == (None, 0)


def test_one_valid_verdict_is_enough(run_task: RunTask) -> None:
    said = run_task(fakes.EXPERIMENT + '[evaluators.polite]\nshrug = "t"\n')
    (invalid, _) = [r for r in said.records if r.id == "invalid_verdicts@1"]
    assert invalid.value is not None
    assert 0 < invalid.value < 1
    assert said.status == "complete"


def test_a_model_that_answers_nothing_as_it_is_makes_the_run_invalid(
    run_task: RunTask, tmp_path: Path
) -> None:
    """Issue 13, point 6: no edit can be seen where nothing is said without it either."""
    with pytest.raises(InvalidRun) as caught:
        run_task(fakes.EXPERIMENT, 'models.chat.silent=["none", "a"]')
    assert str(caught.value).startswith(
        f"experiments.e, direction none: all {len(fakes.WEB)} completions are empty."
    )
    results = load_results(tmp_path / "run")
    assert results.status == "invalid"
    text = (tmp_path / "run" / "samples" / "e.jsonl").read_text(encoding="utf-8")
    assert {json.loads(line)["completion"] for line in text.splitlines()} == {""}


def test_an_edit_that_makes_a_model_silent_is_told(run_task: RunTask) -> None:
    """Issue 13, point 6: that is what the edit does; its numbers stay."""
    results = run_task(fakes.EXPERIMENT, 'models.chat.silent=["a"]')
    assert results.status == "complete"
    (said,) = [one for one in results.warnings if "silent" in one]
    assert said.startswith("experiments.e, direction a: all")
    refused = [r for r in results.records if r.id == "polite.refused@1"]
    assert [record.n for record in refused] == [len(fakes.WEB)] * 2


def test_no_thought_that_ends_is_no_answer(run_task: RunTask, tmp_path: Path) -> None:
    """TOKENIZERS T9: undefined and said, never a rate of 0."""
    with pytest.raises(InvalidRun, match=r"no thought of 6 came to an end.*max_new_tokens"):
        run_task(fakes.EXPERIMENT, "models.chat.thinks=1")
    results = load_results(tmp_path / "run")
    for record in results.records:
        if record.id.startswith(("polite", "invalid")):
            assert (record.value, record.n) == (None, 0)
            assert record.undefined == "no completion came to an answer"
        elif record.id == "unfinished@1":
            assert (record.value, record.n) == (1.0, len(fakes.WEB))
