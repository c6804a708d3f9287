"""Benchmarks under interventions: one run for each arm, under that arm's edits alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import fakes
from harness.contract import Receipt, Record
from harness.errors import InvalidRun, PluginError
from harness.planning.cost.estimate import cost
from harness.planning.planner import plan
from harness.results.read import Results
from harness.running.experiments.benchmark_parts import PartAnswers, take_in
from harness.running.experiments.sealed import Sealed

RunTask = Callable[..., Results]

PROBE = """
[directions.a]
method = "probe"
view = "chat"
data = "web"
draws = 2
"""
QUIZ = """
[evaluators.quiz]
prompts = 3
[experiments.e]
view = "chat"
directions = ["a"]
evaluators = ["quiz"]
intervention = { method = "shift" }
"""
TASK = PROBE + QUIZ
BOTH = TASK.replace('["quiz"]', '["quiz", "polite"]').replace(
    'view = "chat"\ndirections', 'view = "chat"\ndata = "web"\ndirections'
)
ARMS = ["none", "a[draw=0]", "a[draw=1]"]


def of(results: Results, id: str, **axes: object) -> list[Record]:
    return [r for r in results.records if r.id == id and axes.items() <= dict(r.axes).items()]


@pytest.mark.slow
def test_every_arm_is_asked_by_itself(run_task: RunTask) -> None:
    run_task(TASK)
    assert Counter(arm for _, arm in fakes.LAB.generated) == dict.fromkeys(ARMS, 3)
    assert all(len({arm for _, arm in batch}) == 1 for batch in fakes.LAB.generations)


def test_records_and_tables_say_where_they_come_from(run_task: RunTask) -> None:
    results = run_task(TASK)
    found = of(results, "quiz.refused@1")
    common = {"experiment": "e", "view": "chat", "model": "chat", "evaluator": "quiz"}
    assert [dict(record.axes) for record in found] == [
        {**common, "direction": "none"},
        {**common, "direction": "a", "draw": 0},
        {**common, "direction": "a", "draw": 1},
    ]
    rows = results.tables["quiz.answers"]
    assert len(rows) == 9
    assert {(row["direction"], row.get("draw")) for row in rows} == {
        ("none", None),
        ("a", 0),
        ("a", 1),
    }
    answers = [row["answer"] for row in rows]
    assert len(set(answers)) == 9
    for record in found:
        mine = [
            r["answer"] for r in rows if {k: r.get(k) for k in record.axes} == dict(record.axes)
        ]
        assert record.value == sum(answer.startswith("No") for answer in mine) / 3


def test_what_the_edits_did_is_a_record(run_task: RunTask) -> None:
    results = run_task(TASK)
    edits = of(results, "edit.relative@1", evaluator="quiz")
    assert [dict(r.axes)["draw"] for r in edits] == [0, 1]
    assert all(r.n == 3 for r in edits)


def test_what_was_answered_is_not_asked_again(run_task: RunTask, tmp_path: Path) -> None:
    first = run_task(TASK)
    fakes.LAB.clear()
    again = run_task(TASK)
    assert not fakes.LAB.generated
    assert again.records == first.records
    folders = sorted((tmp_path / "run" / "benchmarks" / "e").iterdir())
    assert len(folders) == len(ARMS)
    assert all((folder / "receipts.jsonl").exists() for folder in folders)


def test_a_run_that_was_killed_in_an_arm_keeps_the_arms_before(run_task: RunTask) -> None:
    fakes.LAB.crash_at = 5
    with pytest.raises(RuntimeError, match="the power went off"):
        run_task(TASK)
    assert Counter(arm for _, arm in fakes.LAB.generated) == {"none": 3, "a[draw=0]": 1}
    fakes.LAB.clear()
    results = run_task(TASK)
    assert Counter(arm for _, arm in fakes.LAB.generated) == {"a[draw=0]": 3, "a[draw=1]": 3}
    assert len(of(results, "quiz.refused@1")) == 3


def test_a_benchmark_with_other_options_is_asked_again(run_task: RunTask) -> None:
    """Who judges changes no completion, so the folder is the same."""
    run_task(TASK)
    fakes.LAB.clear()
    results = run_task(TASK, "evaluators.quiz.prompts=2")
    assert [record.n for record in of(results, "quiz.refused@1")] == [2, 2, 2]


@pytest.mark.slow
def test_another_direction_does_not_find_the_answers_of_this_one(
    run_task: RunTask, tmp_path: Path
) -> None:
    run_task(TASK)
    fakes.LAB.clear()
    run_task(TASK, "experiments.e.intervention.strength=2", fresh=True)
    assert Counter(arm for _, arm in fakes.LAB.generated) == dict.fromkeys(ARMS, 3)
    # The same folder, as if it had not been emptied: other edits are another arm.
    kept = tmp_path / "run" / "benchmarks" / "e"
    names = {folder.name for folder in kept.iterdir()}
    run_task(TASK, "experiments.e.intervention.strength=3", fresh=True)
    assert len(names & {folder.name for folder in kept.iterdir()}) == 1  # the arm without edits


@pytest.mark.parametrize("more", ["silent", "promise"])
def test_edits_that_do_not_hold_make_the_run_invalid(run_task: RunTask, more: str) -> None:
    keys = {"silent": "silent=true", "promise": "promise=0.5"}[more]
    with pytest.raises(InvalidRun, match=r"experiments\.e, direction a\[draw=0\]"):
        run_task(TASK, f"experiments.e.intervention.{keys}")
    fakes.LAB.clear()
    with pytest.raises(InvalidRun):  # also where all was answered before
        run_task(TASK, f"experiments.e.intervention.{keys}")
    assert not fakes.LAB.generated


def test_strength_zero_is_the_model_as_it_is(run_task: RunTask) -> None:
    results = run_task(TASK, "experiments.e.intervention.strength=0")
    rows = results.tables["quiz.answers"]
    by_arm = [[r["answer"] for r in rows[start : start + 3]] for start in (0, 3, 6)]
    assert by_arm[0] == by_arm[1] == by_arm[2]


def test_a_direction_that_does_not_exist_is_undefined_with_its_reason(run_task: RunTask) -> None:
    results = run_task(TASK, "directions.a.undefined=true")
    assert Counter(arm for _, arm in fakes.LAB.generated) == {"none": 3}
    assert [dict(r.axes)["direction"] for r in of(results, "quiz.refused@1")] == ["none"]


def test_benchmarks_and_judges_share_an_experiment(run_task: RunTask) -> None:
    results = run_task(BOTH)
    assert len(of(results, "quiz.refused@1")) == len(of(results, "polite.refused@1")) == 3
    arms = Counter(arm for _, arm in fakes.LAB.generated)
    assert arms == dict.fromkeys(ARMS, 3 + len(fakes.WEB))


def test_an_experiment_without_directions_asks_the_model_as_it_is(run_task: RunTask) -> None:
    text = "[evaluators.quiz]\n[experiments.e]\nview = 'chat'\nevaluators = ['quiz']\n"
    results = run_task(text)
    (record,) = of(results, "quiz.refused@1")
    assert record.axes["direction"] == "none"


def test_a_benchmark_may_give_no_directions(run_task: RunTask) -> None:
    with pytest.raises(PluginError, match=r"evaluators\.quiz: fake/quiz must give an Outcome"):
        run_task(TASK, "evaluators.quiz.wrong=true")


def test_a_benchmark_that_asked_nothing_is_undefined(run_task: RunTask) -> None:
    text = "[evaluators.quiz]\nprompts = 0\n[experiments.e]\nview = 'chat'\nevaluators = ['quiz']\n"
    (record,) = of(run_task(text), "quiz.refused@1")
    assert (record.value, record.undefined) == (None, "nothing was asked")


def test_judges_need_prompts(problems: Callable[..., list[str]]) -> None:
    text = TASK.replace('["quiz"]', '["quiz", "polite"]')
    (said,) = problems(text)
    assert "experiments.e.data" in said
    assert "these evaluators judge completions of prompts. Allowed: web." in said


def test_a_plan_counts_prompts_where_the_benchmark_tells(
    task: Callable[..., object], registry: object
) -> None:
    told = cost(plan(task(TASK)))  # type: ignore[arg-type]
    (work,) = [one for one in told.work if one.stage == "benchmark, e, quiz"]
    assert work.counts.prompts == 3 * len(ARMS)
    untold = cost(plan(task(TASK, "evaluators.quiz.told=false")))  # type: ignore[arg-type]
    assert any("its prompts are not known beforehand" in line for line in untold.unknown)


def test_the_answers_are_those_of_the_edited_model(run_task: RunTask, tmp_path: Path) -> None:
    run_task(TASK)
    folders = (tmp_path / "run" / "benchmarks" / "e").iterdir()
    answers = [tuple(json.loads((f / "answers-3.json").read_text())) for f in folders]
    assert len(set(answers)) == len(ARMS)


def edited(results: Results) -> list[tuple[int, float | None]]:
    return [(r.n, r.value) for r in of(results, "edit.relative@1", evaluator="quiz")]


def receipt_said(results: Results) -> list[str]:
    return [text for text in results.warnings if "remembered receipt" in text]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["changed", "gone"])
def test_answers_that_were_changed_are_redone_with_their_receipt(
    run_task: RunTask, tmp_path: Path, what: str
) -> None:
    """Of the kind of CASES row 9: a receipt belongs to the answers that it was made with."""
    first = run_task(TASK)
    assert receipt_said(first) == []
    (file,) = [
        folder / "answers-3.json"
        for folder in sorted((tmp_path / "run" / "benchmarks" / "e").iterdir())
        if (folder / "receipts.jsonl").exists()
    ][:1]
    if what == "gone":
        file.unlink()
    else:
        file.write_text(file.read_text().replace('"', '"Yes ', 1))
    fakes.LAB.clear()
    again = run_task(TASK)
    assert len(fakes.LAB.generated) == 3
    assert edited(again) == edited(first)
    assert again.records == first.records
    (said,) = receipt_said(again)
    assert "dropped 1 remembered receipt, because it was made with other answers" in said
    assert receipt_said(run_task(TASK)) == []


def test_answers_that_are_replaced_do_not_keep_the_receipts_of_those_before(tmp_path: Path) -> None:
    kept = Sealed(tmp_path)
    (tmp_path / "a.json").write_text("one")
    assert kept.add(Receipt("a", fired=1, tokens=5))
    again = Sealed(tmp_path)
    (tmp_path / "c.json").write_text("three")
    with (tmp_path / "a.json").open("a") as more:
        more.write(", and more")  # an append-only file
    assert again.add(Receipt("a", fired=1, tokens=70))
    assert [one.tokens for one in Sealed(tmp_path).receipts] == [5, 70]
    third = Sealed(tmp_path)
    (tmp_path / "a.json").write_text("another")
    assert not third.add(Receipt("a", fired=1, tokens=900))
    third.empty()
    (tmp_path / "a.json").write_text("another")
    assert third.add(Receipt("a", fired=1, tokens=900))
    assert [one.tokens for one in Sealed(tmp_path).receipts] == [900]
    # A run that answers nothing may write what it likes: a summary with a date.
    fourth = Sealed(tmp_path)
    (tmp_path / "a.json").write_text("a date")
    assert fourth.add(Receipt("a"))
    assert [one.tokens for one in Sealed(tmp_path).receipts] == [900]
    # What was changed between two runs is no longer what was answered.
    (tmp_path / "a.json").write_text("A date")
    assert Sealed(tmp_path).receipts == []


@pytest.mark.slow
def test_the_receipts_of_other_options_are_not_added(run_task: RunTask) -> None:
    """One part of the key alone: the options of the benchmark."""
    first = run_task(TASK)
    alone = edited(run_task(TASK, "evaluators.quiz.prompts=2", fresh=True))
    run_task(TASK, fresh=True)
    assert edited(run_task(TASK, "evaluators.quiz.prompts=2")) == alone != edited(first)


BIT_BY_BIT = TASK.replace("prompts = 3", "prompts = 3\nbit_by_bit = true")


@pytest.mark.slow
@pytest.mark.parametrize("crash_at", [4, 5, 6, 8])
def test_a_run_that_was_killed_in_an_arm_counts_all_that_its_edits_did(
    run_task: RunTask, crash_at: int
) -> None:
    """Of the kind of CASES row 9: answers of before the kill were used, their receipt was lost.

    Each arm asks three prompts, so its receipt is of three, whenever it was cut off.
    """
    fakes.LAB.crash_at = crash_at
    with pytest.raises(RuntimeError, match="the power went off"):
        run_task(BIT_BY_BIT)
    before = len(fakes.LAB.generated)
    fakes.LAB.clear()
    results = run_task(BIT_BY_BIT)
    assert len(fakes.LAB.generated) == 9 - before
    assert [n for n, _ in edited(results)] == [3, 3]
    whole = run_task(BIT_BY_BIT, fresh=True)
    assert results.records == whole.records


@pytest.mark.slow
@pytest.mark.parametrize("text", [TASK, BIT_BY_BIT], ids=["whole", "bit by bit"])
@pytest.mark.parametrize("crash_at", [1, 2])
def test_answers_that_were_kept_before_their_receipt_are_asked_again(
    run_task: RunTask, monkeypatch: pytest.MonkeyPatch, text: str, crash_at: int
) -> None:
    """A run was killed between the two: its answers were used, and nothing said what their edits
    had done. Found by the kills of `tests/campaign`."""
    calls, add = 0, Sealed.add

    def killed(self: Sealed, receipt: Receipt) -> bool:
        nonlocal calls
        calls += 1
        if calls == crash_at:
            raise RuntimeError("the power went off")
        return add(self, receipt)

    monkeypatch.setattr(Sealed, "add", killed)
    with pytest.raises(RuntimeError, match="the power went off"):
        run_task(text)
    results = run_task(text)
    assert receipt_said(results) == []
    assert results.records == run_task(text, fresh=True).records


def test_what_no_receipt_has_is_removed(tmp_path: Path) -> None:
    kept = Sealed(tmp_path)
    (tmp_path / "sealed.json").write_text("answers")
    (tmp_path / "grown.jsonl").write_text("answer\n")
    assert kept.add(Receipt("a", fired=1, tokens=5))
    (tmp_path / "late.json").write_text("answers")
    with (tmp_path / "grown.jsonl").open("a") as more:
        more.write("a later answer\n")
    assert [one.tokens for one in Sealed(tmp_path).receipts] == [5]
    found = {file.name: file.read_text() for file in tmp_path.iterdir()}
    del found["receipts.jsonl"]
    assert found == {"sealed.json": "answers", "grown.jsonl": "answer\n"}


def test_answers_of_a_model_without_edits_are_held_against_their_hash_too(
    run_task: RunTask, tmp_path: Path
) -> None:
    """Found by the kills of `tests/campaign`: a byte was changed, and the run believed it."""
    first = run_task(TASK)
    for file in (tmp_path / "run" / "benchmarks" / "e").glob("*/answers-3.json"):
        file.write_text(file.read_text().replace('"', '"Yes ', 1))
    again = run_task(TASK)
    assert again.records == first.records
    assert again.tables == first.tables
    assert "dropped 1 remembered receipt" in receipt_said(again)[0]


def test_a_run_that_finds_all_answers_seals_what_it_writes_beside_them(tmp_path: Path) -> None:
    kept = Sealed(tmp_path)
    (tmp_path / "a.json").write_text("answers")
    assert kept.add(Receipt("a", fired=1, tokens=5))
    again = Sealed(tmp_path)
    (tmp_path / "summary.json").write_text("a date")
    assert again.add(Receipt("a"))
    assert sum(one.tokens for one in Sealed(tmp_path).receipts) == 5
    assert (tmp_path / "summary.json").exists()
    (tmp_path / "summary.json").write_text("A date")
    assert Sealed(tmp_path).receipts == []


def test_a_part_that_is_taken_in_twice_counts_once(tmp_path: Path) -> None:
    """A run was killed between a part's receipt and the line that says the part is done."""
    answers = PartAnswers({"a.json": b"[]"}, Receipt("a", fired=1, tokens=5))
    take_in(tmp_path, answers)
    take_in(tmp_path, answers)
    assert [one.tokens for one in Sealed(tmp_path).receipts] == [5]


def test_of_one_run_the_last_receipt_counts(tmp_path: Path) -> None:
    kept = Sealed(tmp_path)
    for number in (1, 2, 3):
        (tmp_path / f"{number}.json").write_text("answers")
        (tmp_path / "summary.json").write_text(f"{number} so far")
        assert kept.add(Receipt("a", fired=number, tokens=10 * number))
    assert [one.tokens for one in kept.receipts] == [30]
    again = Sealed(tmp_path)
    assert [one.tokens for one in again.receipts] == [30]
    (tmp_path / "4.json").write_text("answers")
    assert again.add(Receipt("a", fired=1, tokens=5))
    assert [one.tokens for one in Sealed(tmp_path).receipts] == [30, 5]
