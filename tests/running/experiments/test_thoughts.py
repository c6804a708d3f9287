"""Reasoning models: judges read the answer, and a thought that never ended is no answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fakes
from fakes.models import FakeModel, ModelOptions
from harness.comparison.comparison import compare_folders
from harness.contract import Answer, Completion, Example, Receipt, Record, ThoughtMarks
from harness.planning.steps import PlannedArm
from harness.results.intervals import wilson
from harness.results.read import Results
from harness.running.experiments.arms import ArmOutcome
from harness.running.experiments.journal import Journal, Made
from harness.running.experiments.verdicts import unparted_thoughts
from harness.store.lines import Lines

RunTask = Callable[..., Results]
THIRD = "models.chat.thinks=3"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "run" / "samples" / "e.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def of(results: Results, id: str, direction: str = "none") -> Record:
    (found,) = [r for r in results.records if r.id == id and r.axes["direction"] == direction]
    return found


@pytest.fixture
def many(texts: Callable[..., None]) -> None:
    texts([f"row {'x' * n}" for n in range(12)])


def by_hand() -> dict[str, bool]:
    """For each text whose thought ended: whether the un-edited model says no."""
    model = FakeModel(ModelOptions(thinks=3))
    prompts = {text: [fakes.BOS, *model.encode(text)] for text in fakes.WEB}
    return {text: sum(ids) % 2 == 1 for text, ids in prompts.items() if sum(ids) % 3}


@pytest.mark.usefixtures("many")
def test_rates_are_over_answers_and_unfinished_thoughts_are_counted(run_task: RunTask) -> None:
    """TOKENIZERS T9: `unfinished` has its own record; the rates leave such completions out."""
    results = run_task(fakes.EXPERIMENT, THIRD)
    said_no = by_hand()
    all_of_them = len(fakes.WEB)
    assert 0 < len(said_no) < all_of_them
    refused = of(results, "polite.refused@1")
    assert refused.n == len(said_no)
    assert refused.value == pytest.approx(sum(said_no.values()) / len(said_no))
    invalid = of(results, "invalid_verdicts@1")
    assert (invalid.value, invalid.n) == (0.0, len(said_no))
    unfinished = of(results, "unfinished@1")
    cut_off = all_of_them - len(said_no)
    assert (unfinished.value, unfinished.n) == (cut_off / all_of_them, all_of_them)
    assert unfinished.ci == pytest.approx(wilson(cut_off, all_of_them))
    assert unfinished.options == {"max_new_tokens": 512}
    assert results.status == "complete"


@pytest.mark.usefixtures("many")
def test_samples_keep_every_thought(run_task: RunTask, tmp_path: Path) -> None:
    """TOKENIZERS T9: the judge sees the answer; the thought is kept, and nothing judges it."""
    run_task(fakes.EXPERIMENT, THIRD)
    rows = rows_of(tmp_path)
    assert len(rows) == 2 * len(fakes.WEB)
    assert {row["text"] for row in rows if "unfinished" not in row} == set(by_hand())
    for row in rows:
        assert row["thought"].endswith(f", I think of {row['prompt']}")
        if row.get("unfinished"):
            assert (row["completion"], row["verdicts"]) == ("", {})
        else:
            assert row["verdicts"]["polite"]["refused"] == row["completion"].startswith("No")
            assert row["thought"].startswith("Sure" if row["completion"][:2] == "No" else "No")


def test_without_thoughts_nothing_is_new(run_task: RunTask, tmp_path: Path) -> None:
    results = run_task(fakes.EXPERIMENT)
    assert not [record for record in results.records if record.id.startswith("unfinished")]
    assert all({"thought", "unfinished"}.isdisjoint(row) for row in rows_of(tmp_path))


@pytest.mark.usefixtures("many")
def test_thoughts_are_remembered(run_task: RunTask, tmp_path: Path) -> None:
    first = run_task(fakes.EXPERIMENT, THIRD)
    (tmp_path / "run" / "results.json").unlink()
    made = len(fakes.LAB.generations)
    again = run_task(fakes.EXPERIMENT, THIRD)
    assert len(fakes.LAB.generations) == made
    assert again.records == first.records


def test_a_journal_of_before_is_still_read(tmp_path: Path) -> None:
    """Lines that know of no thoughts are those of completions without any."""
    file = tmp_path / "e.jsonl"
    journal = Journal(file)
    journal.add([Made("arm", {"k": Completion("hi", 1, True, "hm", False)}, Receipt("arm"))])
    journal.close()
    assert Journal(file).completions["k"] == Completion("hi", 1, True, "hm", False)
    old = Lines(tmp_path / "old.jsonl")
    its = {"text": "hi", "tokens": 1, "stopped": True}
    receipt = {"arm": "arm", "fired": 0, "tokens": 0, "changed": 0, "relative": None}
    receipt |= {"checks": {}, "broken": []}
    old.add([{"arm": "arm", "completions": {"k": its}, "receipt": receipt}])
    old.close()
    assert Journal(tmp_path / "old.jsonl").completions["k"] == Completion("hi", 1, True)


@pytest.mark.slow
@pytest.mark.usefixtures("many")
def test_compare_pairs_the_prompts_that_both_finished(run_task: RunTask, tmp_path: Path) -> None:
    """A prompt without an answer in one run is no pair; nothing is made up for it."""
    run_task(fakes.EXPERIMENT, THIRD)
    (tmp_path / "run").rename(tmp_path / "first")
    run_task(fakes.EXPERIMENT, "models.chat.thinks=5")
    found = compare_folders([tmp_path / "first", tmp_path / "run"])
    (row,) = [
        one for one in found.rows
        if one.id == "polite.refused@1" and one.axes["direction"] == "none"
    ]  # fmt: skip
    first = set(by_hand())
    model = FakeModel(ModelOptions())
    ids = {text: sum([fakes.BOS, *model.encode(text)]) for text in fakes.WEB}
    both = {text for text in first if ids[text] % 5}
    assert 0 < len(both) < len(first)
    assert row.differences[0].prompts == len(both)


@pytest.mark.parametrize("end", ["</think>", "[/THINK]", "<channel|>", "assistantfinal"])
def test_thoughts_that_no_backend_told_apart_are_said(end: str) -> None:
    """A stranger's backend gives plain text: judges read all of it, and the run says so."""

    def outcome(text: str, thought: str | None = None) -> ArmOutcome:
        answer = Answer(Example("a", "b"), "b", Completion(text, 1, True, thought))
        return ArmOutcome(PlannedArm("none"), (answer,))

    said = unparted_thoughts([outcome(f"I cannot?{end}Sure."), outcome("Sure.")])
    assert said is not None
    assert said.startswith("1 of 2 completions hold")
    assert unparted_thoughts([outcome("I think.")]) is None
    assert unparted_thoughts([outcome(f"I cannot?{end}Sure.", "a thought")]) is None


def test_the_provenance_says_how_prompts_and_thoughts_were_told(
    run_task: RunTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TOKENIZERS T9: arguments of templates, and the marks of thoughts, where there are some."""
    change = 'views.chat.prompt={style = "chat", template_arguments = {enable_thinking = false}}'
    plain = run_task(fakes.EXPERIMENT)
    assert "template_arguments" not in plain.provenance
    assert "thoughts" not in plain.provenance["models"]["chat"]
    monkeypatch.setattr(FakeModel, "thoughts", ThoughtMarks("a", "b"), raising=False)
    results = run_task(fakes.EXPERIMENT, change, fresh=True)
    assert results.provenance["template_arguments"] == {"chat": {"enable_thinking": False}}
    marks = {"open": "a", "close": "b", "between": None}
    assert results.provenance["models"]["chat"]["thoughts"] == marks
